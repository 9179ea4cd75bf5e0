"""The stand-alone graphs of an artifact: hash, order, masks, filter, augmentation, buffer."""
