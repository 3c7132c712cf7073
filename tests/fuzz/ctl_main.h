/*
 * Included in front of each of shmallocctl's sources when they are compiled for
 * the fuzzer, which calls what was their main, and says what a terminal is.
 */
#ifndef TESTS_FUZZ_CTL_MAIN_H
#define TESTS_FUZZ_CTL_MAIN_H

#include <unistd.h>

#define main   ctl_main
#define isatty ctl_isatty

int ctl_main(int argc, char **argv);
int ctl_isatty(int fd);

#endif
