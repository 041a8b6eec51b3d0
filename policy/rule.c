/*
 * The rule parser: words in order, each read by one function, the first that is wrong ends it.
 */
#include "policy/rule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "policy/distance.h"
#include "policy/rule_parser.h"

enum {
    /* The canonical spelling of a rule may be longer than what was written, by a few bytes for each
     * address (::ff00:1 is ::255.0.0.1) and the time: it must still fit RULE_TEXT_MAX. */
    RULE_INPUT_MAX = RULE_TEXT_MAX - 128,
    MISTAKEN_WORD_MIN = 6, /* shorter words are near to names that people do give: host1, api */
};

static const char *const action_words[] = {"allow", "deny", "audit"};
static const char *const proto_words[] = {"any", "tcp", "udp", "icmp"};
static const char *const target_words[] = {"any",       "public",    "private",
                                           "host",      "loopback",  "link-local",
                                           "metadata",  "multicast", "reserved",
                                           "guest"};
/* What somebody may write as a target, but is none. */
static const struct {
    const char *word, *hint, *message;
} no_targets[] = {
    {"all", "write 'any'", "not a target"},
    {"everything", "write 'any'", "not a target"},
    {"unspecified", "", "not a target"},
    {"broadcast", "", "not a target"},
    {"in", "", "not a target"},
    {"tcp", "write 'any' for every public address", "a target must stand before the protocol"},
    {"udp", "write 'any' for every public address", "a target must stand before the protocol"},
    {"icmp", "write 'any' for every public address", "a target must stand before the protocol"},
};

int rule_fail(struct rule_parser *p, struct rule_word word, const char *hint, const char *message)
{
    char shown[41];
    size_t len = word.len < sizeof(shown) - 1 ? word.len : sizeof(shown) - 1;

    for (size_t i = 0; i < len; i++)
        shown[i] = word.at[i] >= 0x20 && word.at[i] < 0x7f ? word.at[i] : '?';
    shown[len] = '\0';
    memset(p->error, 0, sizeof(*p->error));
    p->error->column = (unsigned)(word.at - p->text) + 1;
    if (word.len > 0)
        snprintf(p->error->message, sizeof(p->error->message), "'%s': %s", shown, message);
    else
        snprintf(p->error->message, sizeof(p->error->message), "%s", message);
    snprintf(p->error->hint, sizeof(p->error->hint), "%s", hint);
    return -EINVAL;
}

int rule_fail_unknown(struct rule_parser *p, struct rule_word word, const char *const *known,
                      size_t count, const char *message)
{
    const char *nearest = distance_nearest(word.at, word.len, known, count);
    char hint[64] = "";

    if (nearest)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", nearest);
    return rule_fail(p, word, hint, message);
}

/* The group that @word was probably meant to be. */
static const char *group_meant(struct rule_word word)
{
    for (size_t i = 0; i < ARRAY_SIZE(target_words); i++)
        if (strlen(target_words[i]) >= MISTAKEN_WORD_MIN &&
            distance(word.at, word.len, target_words[i]) <= DISTANCE_NEAR_MAX)
            return target_words[i];
    return NULL;
}

bool rule_name_is_word(const char *name)
{
    struct rule_word word = {name, strlen(name)};

    for (size_t i = 0; i < ARRAY_SIZE(target_words); i++)
        if (rule_word_is(word, target_words[i]))
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(no_targets); i++)
        if (rule_word_is(word, no_targets[i].word))
            return true;
    return group_meant(word) != NULL;
}

bool rule_word_is(struct rule_word word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.at, text, word.len) == 0;
}

const char *rule_word_copy(struct rule_word word, char *out, size_t size)
{
    if (word.len >= size)
        return NULL;
    memcpy(out, word.at, word.len);
    out[word.len] = '\0';
    return out;
}

struct rule_word rule_word_cut(struct rule_word *rest, char separator)
{
    const char *end = memchr(rest->at, separator, rest->len);
    struct rule_word part = *rest;

    if (end) {
        part.len = (size_t)(end - rest->at);
        rest->len -= part.len + 1;
        rest->at = end + 1;
    } else {
        rest->at += rest->len;
        rest->len = 0;
    }
    return part;
}

static struct rule_word next_word(struct rule_parser *p)
{
    struct rule_word word;

    p->next += strspn(p->next, " \t");
    word.at = p->next;
    word.len = strcspn(p->next, " \t");
    p->next += word.len;
    return word;
}

int rule_prefix(struct rule_parser *p, struct rule_word whole, struct rule_word part,
                struct addr_prefix *out_prefix)
{
    char text[ADDR_PREFIX_TEXT_MAX], hint[ADDR_PREFIX_TEXT_MAX + 8] = "";
    struct rule_word rest = part, addr_part = rule_word_cut(&rest, '/');
    struct addr_prefix prefix;
    unsigned bits = 0;
    int err = -EINVAL;

    if (rule_word_copy(part, text, sizeof(text)))
        err = addr_prefix_parse(text, out_prefix);
    if (err == 0)
        return 0;
    if (err != -ERANGE)
        return rule_fail(p, whole, hint, "not an address or network");
    CHECK(rule_word_copy(addr_part, text, sizeof(text)) && addr_parse(text, &prefix.base) == 0);
    for (size_t i = 0; i < rest.len; i++)
        bits = 10 * bits + (unsigned)(rest.at[i] - '0');
    prefix.bits = (uint8_t)bits;
    for (unsigned bit = bits; bit < 8 * addr_size(&prefix.base); bit++)
        prefix.base.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    snprintf(hint, sizeof(hint), "write %s", addr_prefix_format(&prefix, text));
    return rule_fail(p, whole, hint, "bits are set behind the prefix length");
}

static bool has_byte(struct rule_word word, char c)
{
    return memchr(word.at, c, word.len) != NULL;
}

static bool is_address_like(struct rule_word word)
{
    size_t digits = 0;

    while (digits < word.len && ((word.at[digits] >= '0' && word.at[digits] <= '9') ||
                                 word.at[digits] == '.' || word.at[digits] == '/'))
        digits++;
    return digits == word.len || has_byte(word, ':') || has_byte(word, '/');
}

/* A target that is no name: say what is wrong with it in its writer's terms. */
static int fail_name(struct rule_parser *p, struct rule_word word)
{
    for (size_t i = 0; i < word.len; i++)
        if ((unsigned char)word.at[i] >= 0x80)
            return rule_fail(p, word, "write the A-label form (xn--...)",
                             "names are written in ASCII");
    if (has_byte(word, '*'))
        return rule_fail(p, word, "write '*.name' for everything below a name",
                         "a wildcard stands only in front, for whole labels");
    if (has_byte(word, '='))
        return rule_fail(p, word, "", "a target must stand before the options");
    if (has_byte(word, '%'))
        return rule_fail(p, word, "", "an address is written without a zone");
    if (has_byte(word, '['))
        return rule_fail(p, word, "", "an address is written without brackets");
    if (is_address_like(word))
        return rule_fail(p, word,
                         has_byte(word, ':') || has_byte(word, '/')
                             ? "a port is written behind the protocol: NAME tcp/443"
                             : "",
                         "not a name, an address or a network");
    return rule_fail(p, word, "", "not a valid name");
}

static int parse_suffix(struct rule_parser *p, struct rule_word word)
{
    size_t skip = word.at[0] == '*' ? 2 : 1;

    p->rule.target = word.at[0] == '*' ? RULE_BELOW : RULE_SUFFIX;
    if (name_canonical(word.at + skip, word.len - skip, p->rule.name) < 0)
        return fail_name(p, word);
    if (name_labels(p->rule.name) < 2)
        return rule_fail(p, word, "", "a suffix has at least two labels");
    return 0;
}

static int parse_prefix_target(struct rule_parser *p, struct rule_word word)
{
    struct addr_prefix *prefix = &p->rule.prefix;
    char hint[ADDR_TEXT_MAX + 16] = "", text[ADDR_TEXT_MAX];
    struct addr v4;

    p->rule.target = RULE_PREFIX;
    if (rule_prefix(p, word, word, prefix) < 0)
        return -EINVAL;
    if (prefix->bits < 96 || !group_is_unrouted(&prefix->base))
        return 0;
    v4 = addr_from_v4(prefix->base.bytes + 12);
    if (prefix->bits == 128)
        snprintf(hint, sizeof(hint), "write %s", addr_format(&v4, text));
    return rule_fail(p, word, hint, "an IPv4 address inside IPv6 is reached by no rule");
}

static int parse_target(struct rule_parser *p, struct rule_word word)
{
    char text[NAME_TEXT_MAX + 3], hint[96];
    struct addr_prefix prefix;
    int err;

    if (word.len == 0)
        return rule_fail(p, word, "write ACTION TARGET, like: allow example.org tcp/443",
                         "a target is missing");
    if (!rule_word_copy(word, text, sizeof(text)))
        return rule_fail(p, word, "", "longer than any name");
    if (strcmp(text, "any") == 0) {
        p->rule.target = RULE_ANY;
        return 0;
    }
    if (group_parse(text, &p->rule.group) == 0) {
        p->rule.target = RULE_GROUP;
        return 0;
    }
    if (strcmp(text, "*") == 0)
        return rule_fail(p, word, "write 'any'", "not a target");
    for (size_t i = 0; i < ARRAY_SIZE(no_targets); i++)
        if (rule_word_is(word, no_targets[i].word))
            return rule_fail(p, word, no_targets[i].hint, no_targets[i].message);
    if (strncmp(text, "tcp/", 4) == 0 || strncmp(text, "udp/", 4) == 0 || strncmp(text, "any/", 4) == 0)
        return rule_fail(p, word, "write 'any' for every public address",
                         "a target must stand before the protocol");
    if (text[0] == '.' || strncmp(text, "*.", 2) == 0)
        return parse_suffix(p, word);
    err = addr_prefix_parse(text, &prefix);
    if (err == 0 || err == -ERANGE)
        return parse_prefix_target(p, word);
    p->rule.target = RULE_NAME;
    if (name_canonical(text, word.len, p->rule.name) < 0) {
        if (has_byte(word, '.') || has_byte(word, ':') || has_byte(word, '='))
            return fail_name(p, word);
        if (strchr(text, '*') || text[0] & 0x80)
            return fail_name(p, word);
        return rule_fail_unknown(p, word, target_words, ARRAY_SIZE(target_words),
                                 "not a name, an address or a group");
    }
    /* A group misspelt is a valid name, and a deny for it denies nothing: said with a dot, it is meant. */
    if (!has_byte(word, '.') && group_meant(word)) {
        snprintf(hint, sizeof(hint), "did you mean '%s'? If it is a name, end it with a dot", group_meant(word));
        return rule_fail(p, word, hint, "not a group");
    }
    return 0;
}

static int parse_port(struct rule_word word, uint16_t *out_port)
{
    unsigned port = 0;

    if (word.len < 1 || word.len > 5 || word.at[0] == '0')
        return -EINVAL;
    for (size_t i = 0; i < word.len; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return -EINVAL;
        port = 10 * port + (unsigned)(word.at[i] - '0');
    }
    if (port > UINT16_MAX)
        return -EINVAL;
    *out_port = (uint16_t)port;
    return 0;
}

static int parse_ports(struct rule_parser *p, struct rule_word word, struct rule_word list)
{
    struct rule *rule = &p->rule;
    bool more = true;

    while (more) {
        struct rule_word high, low;
        struct rule_ports ports;

        more = has_byte(list, ',');
        high = rule_word_cut(&list, ',');
        low = high;
        if (has_byte(high, '-'))
            low = rule_word_cut(&high, '-');
        if (parse_port(low, &ports.lo) < 0 || parse_port(high, &ports.hi) < 0)
            return rule_fail(p, word, "ports are numbers from 1 to 65535, like 80,8000-8099",
                             "not a list of ports");
        if (ports.lo > ports.hi)
            return rule_fail(p, word, "", "a range of ports runs from low to high");
        if (rule->port_count == RULE_PORTS_MAX)
            return rule_fail(p, word, "", "more than 32 ports and ranges");
        rule->ports[rule->port_count++] = ports;
    }
    return 0;
}

static int parse_proto(struct rule_parser *p, struct rule_word word)
{
    bool with_ports = has_byte(word, '/');
    struct rule_word list = word, name = rule_word_cut(&list, '/');

    if (name.len > 0 && name.at[0] >= '0' && name.at[0] <= '9')
        return rule_fail(p, word, "write the protocol in front: tcp/443", "not a protocol");
    for (size_t i = 0; i < ARRAY_SIZE(proto_words); i++) {
        static const enum rule_proto protos[] = {RULE_PROTO_ANY, RULE_TCP, RULE_UDP, RULE_ICMP};

        if (!rule_word_is(name, proto_words[i]))
            continue;
        p->rule.proto = protos[i];
        if (with_ports && protos[i] == RULE_ICMP)
            return rule_fail(p, word, "write 'icmp'", "icmp has no ports");
        return with_ports ? parse_ports(p, word, list) : 0;
    }
    return rule_fail_unknown(p, (struct rule_word){word.at, with_ports ? name.len : word.len},
                             proto_words, ARRAY_SIZE(proto_words), "not a protocol");
}

static int parse_action(struct rule_parser *p, struct rule_word word)
{
    static const enum rule_action actions[] = {RULE_ALLOW, RULE_DENY, RULE_AUDIT};

    if (word.len == 0)
        return rule_fail(p, word, "write ACTION TARGET, like: allow example.org tcp/443",
                         "the rule is empty");
    for (size_t i = 0; i < ARRAY_SIZE(action_words); i++) {
        if (rule_word_is(word, action_words[i])) {
            p->rule.action = actions[i];
            return 0;
        }
    }
    return rule_fail_unknown(p, word, action_words, ARRAY_SIZE(action_words),
                             "a rule begins with allow, deny or audit");
}

/* What can only be known when all words are read. */
static int check_whole(struct rule_parser *p, struct rule_word target)
{
    const struct rule *rule = &p->rule;

    if (rule->direction == RULE_IN && rule_is_by_name(rule))
        return rule_fail(p, target, "write the peer's address, a group or 'any'",
                         "an incoming peer has no name");
    if ((rule->target == RULE_BELOW || rule->target == RULE_SUFFIX) && !p->force &&
        !name_registrable(rule->name))
        return rule_fail(p, target, "add force=yes if that is meant",
                         "anybody can register a name below this suffix");
    return 0;
}

static int parse_words(struct rule_parser *p)
{
    struct rule_word word = next_word(p), target;

    if (parse_action(p, word) < 0)
        return -EINVAL;
    target = next_word(p);
    if (rule_word_is(target, "in")) {
        p->rule.direction = RULE_IN;
        target = next_word(p);
    }
    if (parse_target(p, target) < 0)
        return -EINVAL;
    word = next_word(p);
    if (word.len > 0 && !has_byte(word, '=')) {
        if (parse_proto(p, word) < 0)
            return -EINVAL;
        word = next_word(p);
    }
    for (; word.len > 0; word = next_word(p))
        if (rule_option(p, word) < 0)
            return -EINVAL;
    return check_whole(p, target);
}

int rule_parse(const char *text, struct rule *out_rule, struct rule_error *error)
{
    struct rule_parser p = {.text = text, .next = text, .error = error};
    size_t len = strlen(text);

    /* Padding too: equal rules compare equal bytewise. */
    memset(&p.rule, 0, sizeof(p.rule));
    if (len > RULE_INPUT_MAX)
        return rule_fail(&p, (struct rule_word){text, 0}, "", "the rule is too long");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 && text[i] != '\t')
            return rule_fail(&p, (struct rule_word){text + i, 1}, "",
                             "a control character in a rule");
    if (parse_words(&p) < 0)
        return -EINVAL;
    memcpy(out_rule, &p.rule, sizeof(*out_rule));
    return 0;
}
