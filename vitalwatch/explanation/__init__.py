"""Why a patient's score is what it is, worked out offline, and whether that is true."""
