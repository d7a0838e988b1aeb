/* What the programs here share. */

#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the process where something is not as it must be. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            int number = errno;                                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__, #condition, number, strerror(number));   \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Checks for a failure: the result and errno, which is set to something else before. */
#define FAILS(call, result, number)                                                                                    \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK((call) == (result) && errno == (number));                                                                \
    } while (0)

/* A string as pointer and length. */
#define BYTES(text) (const uint8_t *)(text), (uint32_t)strlen(text)

#endif
