# SPDX-License-Identifier: Apache-2.0
"""The one place that adds something to PEFT: the member LORMA of its enum of methods, and its registration."""

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import PeftType, register_peft_method

NAME = "LORMA"


def register(config_cls=None, model_cls=None) -> None:
    """Adds the enum's member; with both classes, registers them. Does nothing a second time."""
    if NAME not in PeftType.__members__:
        member = str.__new__(PeftType, NAME)
        member._name_ = NAME
        member._value_ = NAME
        PeftType._member_names_.append(NAME)
        PeftType._member_map_[NAME] = member
        PeftType._value2member_map_[NAME] = member
        type.__setattr__(PeftType, NAME, member)
    if config_cls is not None and PeftType(NAME) not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(name=NAME.lower(), config_cls=config_cls, model_cls=model_cls)
