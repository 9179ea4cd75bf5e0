"""A check that the texts of an ONNX file are valid UTF-8."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


def damaged_text(message: Message) -> str | None:
    """Find the first text that is not UTF-8, which protobuf hands out as bytes; returns the name of its field.

    Fields that may hold any bytes, such as the data of tensors, are of another type and not looked at.
    """
    for field, value in message.ListFields():
        if found := _damaged(field, value):
            return found
    return None


def _damaged(field: FieldDescriptor, value: Any) -> str | None:
    values = [value] if isinstance(value, (Message, str, bytes, int, float)) else value
    if field.message_type is not None:
        return next((found for one in values if (found := damaged_text(one))), None)
    if field.type != FieldDescriptor.TYPE_STRING:
        return None
    return field.name if any(isinstance(one, bytes) for one in values) else None
