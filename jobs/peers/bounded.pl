# Runs a program that may hang, without input: in a process group of its own, all of which is ended after
# LIMIT seconds, and when this process is, by Ctrl-C or otherwise.
#   perl bounded.pl LIMIT [--seconds] PROGRAM…
# With --seconds, what the program prints is dropped, and the seconds that the whole process took are printed.
# A process as small as this one starts another a millisecond sooner than a shell does.
use strict;
use warnings;
use POSIX ':sys_wait_h';
use Time::HiRes qw(sleep time);

my $limit = shift;
my $seconds = $ARGV[0] eq '--seconds' && shift;
open STDIN, '<', '/dev/null' or die "/dev/null: $!\n";
my $program;
$SIG{$_} = sub {
    warn "$ARGV[0] has been stopped after $limit s\n" if $_[0] eq 'ALRM';
    exit 1 unless $program;
    kill TERM => -$program;
    for (1 .. 50) { last if waitpid($program, WNOHANG); sleep 0.1 }
    kill KILL => -$program;
    exit 1;
} for qw(INT TERM HUP ALRM);
my $begin = time;
$program = fork // die "cannot start a process: $!\n";
if ($program == 0) {
    setpgrp;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);
    open STDOUT, '>', '/dev/null' if $seconds;
    exec { $ARGV[0] } @ARGV or die "cannot run $ARGV[0]: $!\n";
}
alarm $limit;
waitpid $program, 0;
exit 1 if $?;
printf "%.6f\n", time - $begin if $seconds;
