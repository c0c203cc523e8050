/* tests/unit/test.h - cmocka with test names that are sentences.
 *
 *   int main(void)
 *   {
 *       const struct CMUnitTest tests[] = {
 *           sentence("a repeated receipt is refused and changes no score", repeated_receipt),
 *       };
 *       return run_sentences("ledger", tests);
 *   } */
#ifndef ITO_TESTS_UNIT_TEST_H
#define ITO_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define sentence(text, function)         \
    {                                    \
        text, function, NULL, NULL, NULL \
    }
#define run_sentences(group, tests) cmocka_run_group_tests_name(group, tests, NULL, NULL)

#endif
