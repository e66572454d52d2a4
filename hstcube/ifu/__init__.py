"""Maps of emission lines from IFUs beside a cube: read, registered, modelled with its bands."""
