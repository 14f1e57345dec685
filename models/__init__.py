"""The slides' models as ordinary expressions, each beside its gradient by hand, and a location tagger made of one."""
