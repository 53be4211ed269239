"""From the numbers of clips to those of a system: averages, intervals, and what is usual."""
