/* SPDX-License-Identifier: MIT
 * What test_fakeredis plays: the commands and scripts as templates, words separated by blanks.
 *
 * %k any key; %s %z %h %l %t one that should hold a stream, sorted set, hash, list, text (and
 * sometimes does not); %J the lane of this command, %L its name; %i an entry id, %n a number, %c a
 * time, %w bytes, %m a member, %o an owner, %D %G what lead.lua last told (digest, how many), _
 * nothing. Whatever follows the two characters stays. */
#pragma once

#include "scripts.h"

#define P "purgeline:{main}:"
#define BULK_ONCE P "jobs:bulk " P "once:b " P "once:b:before"

#define WORDS_MAX 64

/* A command made of a template. */
struct words {
    size_t count;
    char *p[WORDS_MAX];
    size_t n[WORDS_MAX];
    int lane;
};

static const char *const streams[] = {"jobs:urgent", "jobs:normal", "jobs:bulk", "dead",
                                      "spent:purge"};
static const char *const zsets[] = {"postponed", "later", "instances"};
static const char *const hashes[] = {"postponed:jobs", "places", "budget", "control"};
static const char *const lists[] = {"cancelled"};
static const char *const texts[] = {"lease",  "status",        "once:a",
                                    "once:b", "once:a:before", "receipt:normal-5-1"};
static const char *const lane_words[] = {"urgent", "normal", "bulk"};

static const char *const odd_ids[] = {
    "0", "0-0", "5-1", "99999999999999-7", "x", "281474976710656-0"};
static const char *const odd_numbers[] = {
    "-1", "-2", "0", "x", "007", "1.5", "99999999999999999999"};
static const char *const some_bytes[] = {"",
                                         "a",
                                         "caf\xc3\xa9",
                                         "\xff\xfe \"q\" \\ \x01",
                                         "0",
                                         "17",
                                         "normal-5-1",
                                         "same normal-5-1",
                                         "other normal-9-9",
                                         "\x94\xa6normal\xaanormal-5-1\xa3"
                                         "5-1\x92\xa4keys\xa1k"};
static const char *const some_members[] = {"normal-5-1", "bulk-7-0+r",  "paused",    "clock",
                                           "clock_at",   "purge:level", "purge:seq", "later"};

static const char *const commands[] = {
    "GET %t",
    "MGET %t %k %t",
    "SET %t %w",
    "SET %t %w EX %n",
    "SET %t %w PX %n",
    "SET %t %w NX",
    "SET %t %w XX",
    "SET %t %w NX EX %n",
    "SET %t %w KX",
    "SETEX %t %n %w",
    "SETRANGE %t 0 _",
    "SETRANGE %t 3 %w",
    "STRLEN %t",
    "GET",
    "DEL %k",
    "DEL %k %k",
    "EXISTS %k %k",
    "TYPE %k",
    "EXPIRE %k %n",
    "PEXPIRE %k %n",
    "TTL %k",
    "PTTL %k",
    "RENAME %k %k",
    "RENAMENX %k %k",
    "KEYS *",
    "HSET %h %m %w",
    "HSET %h %m %w %m %w",
    "HSET %h %m %w %m",
    "HGET %h %m",
    "HMGET %h %m %m",
    "HDEL %h %m %m",
    "HDEL %h _",
    "HLEN %h",
    "HSTRLEN %h %m",
    "HGETALL %h",
    "HEXISTS %h %m",
    "RPUSH %l %m",
    "RPUSH %l %m %m %m",
    "LRANGE %l %n %n",
    "LRANGE %l 0 -1",
    "LTRIM %l %n %n",
    "LTRIM %l -10 -1",
    "LPOP %l",
    "LPOP %l %n",
    "LLEN %l",
    "ZADD %z %n %m",
    "ZADD %z %c %m",
    "ZADD %z XX %n %m",
    "ZADD %z NX %n %m %n %m",
    "ZADD %z %n",
    "ZADD %z XX NX 1 a",
    "ZREM %z %m %m",
    "ZSCORE %z %m",
    "ZCARD %z",
    "ZRANGE %z %n %n",
    "ZRANGE %z 0 0 WITHSCORES",
    "ZRANGE %z 0 -1 WITHSCORES",
    "ZREVRANGE %z 0 %n",
    "ZREVRANGE %z 0 5 WITHSCORES",
    "ZRANGEBYSCORE %z -inf %c",
    "ZRANGEBYSCORE %z -inf %c LIMIT 0 3",
    "ZRANGEBYSCORE %z (%n +inf WITHSCORES",
    "ZRANGEBYSCORE %z %n %n LIMIT %n %n",
    "XADD %s * keys %w",
    "XADD %s * keys %w ref %w service news",
    "XADD %s * url %w repeat_after %n",
    "XADD %s * url %w repeat_after auto",
    "XADD %s * job %m keys a",
    "XADD %s * c %n t %c",
    "XADD %s NOMKSTREAM * a %w",
    "XADD %s %i a %w",
    "XADD %s 5-* a b",
    "XADD %s * a",
    "XDEL %s %i",
    "XDEL %s %i %i %i",
    "XDEL %s 0-1",
    "XLEN %s",
    "XRANGE %s - +",
    "XRANGE %s - + COUNT %n",
    "XRANGE %s %i %i",
    "XRANGE %s (%i + COUNT 2",
    "XRANGE %s %i + COUNT",
    "XREVRANGE %s + - COUNT %n",
    "XREVRANGE %s (%i -",
    "XREAD COUNT %n STREAMS %s %s %i 0",
    "XREAD STREAMS %s $",
    "XREAD COUNT 2 STREAMS %s %s %i",
    "XTRIM %s MINID %i",
    "XTRIM %s MAXLEN %n",
    "XTRIM %s MINID = %i",
    "XSETID %s %i",
    "XGROUP CREATE %s purgeline 0",
    "XGROUP CREATE %s purgeline $",
    "XGROUP SETID %s purgeline $",
    "XGROUP SETID %s purgeline %i",
    "XCLAIM %s purgeline look 0 %i FORCE JUSTID",
    "XCLAIM %s purgeline look 0 %i JUSTID",
    "XACK %s purgeline %i",
    "PUBLISH channel %w",
    "TIME",
    "PING",
    "PING %w",
    "ROLE_ %w",
    "GETT %w b",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH %k",
    "UNWATCH",
    "EVALSHA 0000000000000000000000000000000000000000 0",
    "EVAL return %n",
    "EVAL x 0",
    "EVAL return{1} 2 a",
    "EVAL return{1,2.9,'a',false,true,{ok='fine'},{1,nil,2}} 0",
    "EVAL return(KEYS[2]) 1 %k b",
    "EVAL return{KEYS[1],ARGV[1],#ARGV} 1 %k %w %w",
    "EVAL error('oh') 0",
    "EVAL return{err='MY_words'} 0",
    "EVAL return(redis.error_reply('My_words')) 0",
    "EVAL return(redis.status_reply('fine')) 0",
    "EVAL return(redis.call('GET',KEYS[1])) 1 %k",
    "EVAL return(redis.pcall('GET',KEYS[1])) 1 %k",
    "EVAL return(redis.call('GOT',KEYS[1])) 1 %k",
    "EVAL return(redis.call('GET')) 0",
    "EVAL return(redis.call('MULTI')) 0",
    "EVAL return(redis.call('SET',KEYS[1],12.5)) 1 %t",
    "EVAL return(redis.call('SET',KEYS[1],true)) 1 %t",
    "EVAL return(redis.call()) 0",
    "EVAL a=1 0",
    "EVAL return(nothing) 0",
    "EVAL return(redis.sha1hex('abc')) 0",
    "EVAL return(cmsgpack.pack({'a',ARGV[1],{},1,-1,300,70000,-200,{'x'}})) 0 %w",
    "EVAL return(cmsgpack.unpack(ARGV[1])) 0 %w",
    "EVAL local\nf,v=pcall(cmsgpack.unpack,ARGV[1])return{f,v} 0 %w",
    "EVAL "
    /* All but how many consumers there are: versions count them differently. */
    "local\ng,o=redis.call('XINFO','GROUPS',KEYS[1]),{}for\ni=1,#g\ndo\nfor\nk=5,8\ndo\no[#o+1]=g["
    "i][k]end\no[#o+1]=g[i][2]end\nreturn(o) 1 %s",
    "EVAL "
    "local\ni=redis.call('XINFO','STREAM',KEYS[1])for\nk=1,#i,2\ndo\nif(i[k]=='last-generated-id')"
    "then\nreturn(i[k+1])end\nend 1 %s",
    "EVAL redis.call('HDEL',KEYS[1],'')return(redis.call('SET',KEYS[2],'a')) 2 %h %t",
    "EVAL local\nf,e=pcall(redis.call,'GET',KEYS[1])return{f,e} 1 %k",
};

/* KEYS | ARGV. Those of one script; one of them is played at a time. */

#define LANES P "jobs:urgent " P "jobs:normal " P "jobs:bulk"
#define SETTLED                                                                                    \
    "%J " P "receipt: " P "postponed " P "postponed:jobs " P "places " P "dead " P                 \
    "history | %L channel 60 "
#define LINE "{\"job\":\"normal-0-3\",\"state\":\"purged\",\"purge\":{}}"
#define PURGED "%J " P "receipt: " P "history | %L channel "

static const char *const script_templates[SCRIPT_N][3] = {
    [SCRIPT_LANES] = {LANES " |", "%s %s %s |"},
    [SCRIPT_DEPTH] = {LANES " |", "%s %s %s |"},
    [SCRIPT_LEAD] = {P "lease " P "control " P "status " P "budget " P "cancelled " P
                       "instances | %o 3000 _ {} %c %c %G %D 1 _ _ leader 1 %o",
                     P "lease " P "control " P "status " P "budget " P "cancelled " P
                       "instances | %o 30 %o _ 0 %c 0 _ 0 _ %m ready 0 _",
                     "%t %h %t %h %l %z | %o %n %o {} %c %c %n %w %n %w %w leaving 0 %o"},
    [SCRIPT_RELEASE] = {P "lease " P "instances | %o moved", "%t %z | %o leaving"},
    [SCRIPT_DROP] = {"%J | %L channel 1 %i %i %i", "%s | %L channel 0 %i"},
    /* 9999999999 s: nothing is too old. What XTRIM with ~ leaves depends on Redis' memory. */
    [SCRIPT_PURGED] = {PURGED "60 3:9999999999:keys 1 %w 0 2 1 1,\"by\":\"a\"\n1\n %i %i 1 3",
                       PURGED "1 _ 1 _ 0 1 0 %w %i",
                       PURGED "60 1:9999999999:history 1 " LINE " 1 3 1 _ 0 5 0-1 %i %i %i"},
    [SCRIPT_SETTLE] =
        {SETTLED
         "9:9999999999:history %c %i purged 1 1 0 _ _ _ _ %i dead 1 2 0 %w %w %w \"sent\":1",
         SETTLED "_ %c %i later 0 1 %c _ _ _ _ %i purged 1 1 %c _ _ _ _ %i expired 1 1 0 %w _ _ _",
         SETTLED
         "1:9999999999:keys %c %i cancelled 0 1 0 %w %w _ \"service\":\"a\" %i later 1 1 %n _ _ "
         "_ _"},
    [SCRIPT_END_LARGE] = {SETTLED "_ %i dead 1 5 %w %m 1 %w _ 0 _ %w _",
                          SETTLED "9:9999999999:history %i later 0 5 _ %m 0 _ %m %c _ _ _",
                          SETTLED
                          "9:9999999999:history %i purged 1 5 _ %m 0 _ %m %c _ _ \"sent\":1"},
    [SCRIPT_OVERSIZED] = {SETTLED "9:9999999999:history %i 1 %w ref %w job %m service news",
                          SETTLED "_ %i 0 large"},
    [SCRIPT_WRITE] = {"%s | XADD * a %w", "%s | XDEL %i", "%k | XLEN"},
    [SCRIPT_WRITE_HASH] = {"%h | HSET %m %w", "%h | HDEL %m", "%k | HSET %m %w"},
    [SCRIPT_DUE] = {P "postponed " P "postponed:jobs " P "places " P "dead " LANES
                      " | %c 100 4096 32",
                    P "postponed " P "postponed:jobs " P "places " P "dead " LANES
                      " | 99999999999999 3 20 2",
                    "%z %h %h %s %s %s %s | %c %n 50 %n"},
    [SCRIPT_RETURNED] = {P "postponed " P "postponed:jobs " P "places %J | %m %m %m %i",
                         "%z %h %h %s | %m %m %m %i"},
    [SCRIPT_ADOPT] = {P "later " P "postponed " P "postponed:jobs " P
                        "dead | %n %m normal-8-8 %m %n _ x %m",
                      "%z %z %h %s | %c %m %m %m"},
    [SCRIPT_SPEND] = {P "lease " P "budget " P
                        "spent:purge | %o purge %n 10 30 5 100 3000 %c %c 50 20 %c 7",
                      P "lease " P "budget " P
                        "spent:purge | %o purge 9%n 10 9%n 5 100 300 %c %c 0 0 0 0",
                      "%t %h %s | %o url %n %n %n %n %n %n %c %c %n %n %c %n"},
    [SCRIPT_RESTORE] = {P "lease " P "budget " P "spent:purge | %o purge %n 20000 0 %c 7 %m",
                        P "lease " P "budget " P "spent:purge | %o purge 1 20000 %c %c 0 _",
                        "%t %h %s | %o url %n %n %c %c %n %w"},
    [SCRIPT_EXAMINE] = {LANES " " P "dead " P "postponed " P "lease " P "budget " P "spent:purge " P
                              "spent:url " P "spent:write " P "control " P "cancelled " P "later " P
                              "postponed:jobs " P "places " P "reads |"},
    [SCRIPT_PUT_ONCE] = {"%J " P "once:a | same 60 %L keys %w ref %w",
                         "%J " P "once:b | other 1 %L keys a", "%s %t | same %n %L a b"},
    [SCRIPT_BEGIN_ONCE] = {"%J " P "once:a:before |", "%s %t |"},
    [SCRIPT_END_ONCE] = {"%J " P "once:a " P "once:a:before | same 60 %L", "%s %t %t | %w 60 %L"},
    [SCRIPT_FIND_JOB] = {P "receipt:normal-5-1 " P "postponed " P "places " P "later " LANES " " P
                           "history | %m 2 %i _",
                         P "receipt:x " P "postponed " P "places " P "later " LANES " " P
                           "history | normal-0-3 0 %i _",
                         "%t %z %h %z %s %s %s %s | %m 1 %i 7"},
    [SCRIPT_CANCEL_JOB] = {P "receipt:x " P "postponed " P "postponed:jobs " P "places channel " P
                             "cancelled %J " P "history | %m {} 1 %L %i 3:9999999999:history _",
                           P "receipt:x " P "postponed " P "postponed:jobs " P "places channel " P
                             "cancelled %J " P "history | %m {} 1 _ %i _ _",
                           "%t %z %h %h channel %l %s %s | %m {} 1 %L %i 3:9999999999:keys _"},
    [SCRIPT_CONFIRM_END] = {P "receipt:x " P "history | normal-0-3 _", "%t %s | normal-5-1 _"},
    [SCRIPT_RECEIPTS] = {P "history | normal-0-3 normal-5-1 x",
                         P "history " P "receipt:normal-5-1 | normal-5-1", "%s | normal-0-3"},
    [SCRIPT_OVERVIEW] = {LANES " " P "postponed " P "dead " P "lease " P "control " P "status " P
                               "later |",
                         "%s %s %s %z %s %t %h %t %z |"},
    [SCRIPT_SNAPSHOT] = {LANES " " P "postponed " P "dead " P "lease " P "control " P "status " P
                               "later " P "instances " P "budget " P "consumers |",
                         "%s %s %s %z %s %t %h %t %z %z %h %h |"},
    [SCRIPT_TAKE_READ] = {P "reads | api 3 60000 3600000",
                          P "reads | api 600 60000 3600000 edge_check 2 3600000 3600000",
                          "%h | api %n 60000 3600000"},
    [SCRIPT_HOLD_READS] = {P "reads | api 0 3600000", "%h | edge_check %n 3600000"},
    [SCRIPT_LOOK_READS] = {P "reads | api 60000 3600000 edge_check 3600000 3600000",
                           "%h | api 60000 3600000"},
    [SCRIPT_LOOK_HISTORY] = {P "history |", "%s |", "%J |"},
    [SCRIPT_ACT] = {P "history " P "history:size " P "control | 3:9999999999:keys {} paused 1",
                    P "history " P "history:size | 3:9999999999:keys {}",
                    "%s %h %h | 3:9999999999:keys {} %m %w"},
    [SCRIPT_RETRY_DEAD] = {P "dead " LANES " | %i %i %i", "%s %s %s %s | %i"},
    [SCRIPT_DROP_LETTER] = {P "dead %J | %i", "%s %s | %i"},
    [SCRIPT_BOOK_ALL] = {P "budget " P "spent:purge | 100", "%h %s | %n"},
    [SCRIPT_LOWER_LAST_ID] = {"%J |", "%s |"},
};
