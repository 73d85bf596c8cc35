"""The evidence sheet: what one choice did, as data, as a page to print, as a model card, and how to check it again."""
