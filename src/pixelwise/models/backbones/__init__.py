"""Trunks: normalised images in, `Features` out. A stage table owns kernel, stride, dilation and padding."""
