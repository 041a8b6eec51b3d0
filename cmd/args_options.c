#include "cmd/args_options.h"

const struct args_option args_options[ARGS_OPTIONS] = {
    {"config", "FILE", FOR_ALL, OPTION_CONFIG, false, NULL, NULL, "read this configuration file"},
    {"rule", "RULE", FOR_ALL, OPTION_RULE, true, NULL, "",
     "one more rule; rules of options stand before the file's, in the order given"},
    {"allow", "TARGET", FOR_ALL, OPTION_RULE, true, NULL, "allow ", "short for --rule 'allow TARGET'"},
    {"deny", "TARGET", FOR_ALL, OPTION_RULE, true, NULL, "deny ", "short for --rule 'deny TARGET'"},
    {"default", "allow|deny", FOR_ALL, OPTION_SETTING, false, setting_policy_default, NULL,
     "what happens where no rule matches (deny)"},
    {"group", "NAME=CIDR", FOR_ALL, OPTION_SETTING, true, setting_group, NULL,
     "move addresses into a group, for labs and tests"},
    {"ipv4", "CIDR|off", FOR_ALL, OPTION_SETTING, false, setting_ipv4, NULL,
     "the guests' IPv4 network, or off (192.168.127.0/24)"},
    {"ipv6", "CIDR|off", FOR_ALL, OPTION_SETTING, false, setting_ipv6, NULL,
     "the guests' IPv6 network, or off (fd77:6569:72::/48)"},
    {"dns-mode", "pinned|fake-ip", FOR_ALL, OPTION_SETTING, false, setting_dns_mode, NULL,
     "how names are tied to addresses (pinned): by those they have, or by one of their own"},
    {"help", NULL, FOR_ALL, OPTION_HELP, false, NULL, NULL, "print this text (also -h)"},

    {"refuse", "rst|icmp", FOR_NETS, OPTION_SETTING, false, setting_policy_refuse, NULL,
     "how a TCP connection is denied (rst)"},
    {"dns", "ADDR[:PORT]", FOR_NETS, OPTION_SETTING, true, setting_dns_upstream, NULL,
     "ask this resolver, not the host's"},
    {"mtu", "N", FOR_NETS, OPTION_SETTING, false, setting_mtu, NULL,
     "bytes an IP packet on the link may have, 576 to 65520 (1500)"},
    {"name", "GUEST", FOR_NETS, OPTION_SETTING, false, setting_name, NULL, "the guest's name in records (guest)"},
    {"log", "FILE|-", FOR_NETS, OPTION_SETTING, false, setting_log_flows, NULL,
     "append the flow log to FILE; - is standard output, under exec standard error"},

    {"link", "SPEC", FOR_RUN | FOR_CHECK, OPTION_SETTING, true, setting_link, NULL,
     "serve a guest: tap,name=DEV[,netns=PATH|PID] or stream,path=SOCKET[,connect]"},

    {"verbose", NULL, FOR_RUN | FOR_EXEC, OPTION_VERBOSE, false, NULL, NULL,
     "say what is in effect and, at the end, what was counted (also -v)"},

    {"root", NULL, FOR_EXEC, OPTION_ROOT, false, NULL, NULL, "CMD sees itself as user 0"},
    {"share", "PATH", FOR_EXEC, OPTION_SHARE, true, NULL, NULL,
     "give CMD back what exec hides: a path below /run, or a socket"},

    {"name", "NAME", FOR_EXPLAIN, OPTION_PIN, true, NULL, NULL,
     "a name the resolver has given the guest for the address"},
    {"sni", "NAME", FOR_EXPLAIN, OPTION_SNI, false, NULL, NULL, "the name in the guest's TLS ClientHello, or QUIC's"},
    {"host", "NAME", FOR_EXPLAIN, OPTION_HOST, false, NULL, NULL, "the Host of the guest's HTTP request"},
};
