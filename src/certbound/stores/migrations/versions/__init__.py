"""The steps, one file each, numbered; a step that was released is never edited."""
