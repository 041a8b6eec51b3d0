/*
 * What a follower says of a guest's bytes: after the first name of a flow was judged, a reader goes on along
 * both directions where a second name could come (policy/tls_follow.h, policy/http_follow.h). Pure.
 */
#ifndef WEIR_POLICY_FOLLOW_H
#define WEIR_POLICY_FOLLOW_H

enum follow_step {
    FOLLOW_PASS,   /* so many bytes belong to what was judged: they may go up; ask again for what is behind them */
    FOLLOW_JUDGE,  /* so many bytes name something: their evidence is to be judged */
    FOLLOW_MORE,   /* too few bytes to tell */
    FOLLOW_HOLD,   /* nothing may go up before the server has said more */
    FOLLOW_OPAQUE, /* no name can come any more: everything passes from here on */
    FOLLOW_BAD,    /* unreadable; the evidence says why */
};

#endif
