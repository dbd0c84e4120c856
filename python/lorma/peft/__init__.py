# SPDX-License-Identifier: Apache-2.0
"""LoRMA as a method of PEFT.

    import peft
    from lorma.peft import LormaConfig

    model = peft.get_peft_model(base, LormaConfig(r=8, inflation="cyclic", target_modules=["query", "value"]))

Importing this module registers the method; then everything of PEFT's is used as with LoRA. Adapters
that it saves are read by the tool `lorma`, and the tool's are loaded by PeftModel.from_pretrained
(docs/adapter-format.md).
"""

from .register import register

register()

from .config import LormaConfig  # noqa: E402  (the type must exist first)
from .layer import LormaLayer, LormaLinear  # noqa: E402
from .model import LormaModel  # noqa: E402

__all__ = ["LormaConfig", "LormaLayer", "LormaLinear", "LormaModel"]

register(LormaConfig, LormaModel)
