"""Where segmentation maps come from, when nobody made one."""
