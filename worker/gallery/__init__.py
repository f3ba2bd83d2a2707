"""The contact sheet: one page, without a server, that shows what an import delivered."""
