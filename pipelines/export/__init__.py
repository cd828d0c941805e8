"""Releases in the forms that other people's tools read: WebDataset, Lhotse, NeMo, Hugging Face, and Croissant beside.

Writers only consume samples that have been opened, and so checked, as for training; none of them decides, reads the
lake, or touches the audio's bytes.
"""
