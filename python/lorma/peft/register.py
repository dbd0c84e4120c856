# SPDX-License-Identifier: Apache-2.0
"""The one place that changes PEFT: the member LORMA of its enum of methods, and its registration."""

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import PeftType, register_peft_method, save_and_load

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
        if not hasattr(BaseTuner, "_remap_adapter_state_dict_for_load"):
            _rename_on_load(model_cls)


def _rename_on_load(model_cls) -> None:
    """For PEFT before 0.21, where a method has no say in the names of what is loaded."""
    insert_adapter_name = save_and_load._insert_adapter_name_into_state_dict

    def by_modules(state_dict, adapter_name, parameter_prefix):
        if parameter_prefix == model_cls.prefix:
            state_dict = model_cls.by_modules(state_dict)
        return insert_adapter_name(state_dict, adapter_name=adapter_name, parameter_prefix=parameter_prefix)

    save_and_load._insert_adapter_name_into_state_dict = by_modules
