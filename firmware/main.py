# Runs after boot.py. Ctrl-C on the console ends it; README.md, "Debug on the REPL".
import cistern

cistern.start()
