/* A rule that is taken has a spelling, which is taken as the same rule; one that is not has its place in the text. */
#include <string.h>

#include "base/check.h"
#include "policy/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2 * RULE_TEXT_MAX], spelled[RULE_TEXT_MAX];
    size_t len = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    struct rule_error error;
    struct rule rule, again;

    memcpy(text, data, len);
    text[len] = '\0';
    if (rule_parse(text, &rule, &error) < 0) {
        CHECK(error.column >= 1 && error.column <= strlen(text) + 1 && error.message[0] != '\0');
        return 0;
    }
    CHECK(rule_parse(rule_format(&rule, spelled), &again, &error) == 0);
    CHECK(memcmp(&again, &rule, sizeof(rule)) == 0);
    return 0;
}
