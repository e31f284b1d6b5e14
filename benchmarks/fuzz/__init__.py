"""Files and command lines that nobody meant, from seeds: what reads them must answer, in time, alone."""
