"""What is timed, with its peers beside it in the same run; `tradewind bench` prints it. Nothing here is asserted."""
