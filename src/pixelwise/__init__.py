"""pixelwise"""
