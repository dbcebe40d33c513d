# The error of an estimate of pi by throwing darts. A program of any language will do that prints a number.
#
#     perl estimate.pl DARTS SEED
use strict;
use warnings;

my ($darts, $seed) = @ARGV;
srand($seed);
my $inside = 0;
for (1 .. $darts) {
    my ($x, $y) = (rand, rand);
    $inside++ if $x * $x + $y * $y < 1;
}
printf "%.6g\n", abs(4 * $inside / $darts - atan2(0, -1));
