"""What a server says of its commands.

Written by .ci/commands.py: name, arity, flags, ACL categories, key specifications.
"""

ROWS = """
ACL -2 - slow
APPEND 3 denyoom,fast,write fast,string,write w:1:r0,1,0
ASKING 1 fast connection,fast
AUTH -2 allow_busy,fast,loading,no_auth,noscript,stale connection,fast
BGREWRITEAOF 1 admin,no_async_loading,noscript admin,dangerous,slow
BGSAVE -1 admin,no_async_loading,noscript admin,dangerous,slow
BITCOUNT -2 readonly bitmap,read,slow r:1:r0,1,0
BITFIELD -2 denyoom,write bitmap,slow,write rw:1:r0,1,0
BITFIELD_RO -2 fast,readonly bitmap,fast,read r:1:r0,1,0
BITOP -4 denyoom,write bitmap,slow,write w:2:r0,1,0 r:3:r-1,1,0
BITPOS -3 readonly bitmap,read,slow r:1:r0,1,0
BLMOVE 6 blocking,denyoom,write blocking,list,slow,write rw:1:r0,1,0 w:2:r0,1,0
BLMPOP -5 blocking,movablekeys,write blocking,list,slow,write rw:2:n0,1,1
BLPOP -3 blocking,write blocking,list,slow,write rw:1:r-2,1,0
BRPOP -3 blocking,write blocking,list,slow,write rw:1:r-2,1,0
BRPOPLPUSH 4 blocking,denyoom,write blocking,list,slow,write rw:1:r0,1,0 w:2:r0,1,0
BZMPOP -5 blocking,movablekeys,write blocking,slow,sortedset,write rw:2:n0,1,1
BZPOPMAX -3 blocking,fast,write blocking,fast,sortedset,write rw:1:r-2,1,0
BZPOPMIN -3 blocking,fast,write blocking,fast,sortedset,write rw:1:r-2,1,0
CLIENT -2 - slow
CLUSTER -2 - slow
CLUSTERSCAN -2 readonly keyspace,read,slow c:1:r0,1,0
COMMAND -1 loading,stale connection,slow
COMMANDLOG -2 - slow
CONFIG -2 - slow
COPY -3 denyoom,write keyspace,slow,write r:1:r0,1,0 w:2:r0,1,0
DBSIZE 1 fast,readonly fast,keyspace,read
DEBUG -2 admin,loading,noscript,stale admin,dangerous,slow
DECR 2 denyoom,fast,write fast,string,write rw:1:r0,1,0
DECRBY 3 denyoom,fast,write fast,string,write rw:1:r0,1,0
DEL -2 write keyspace,slow,write w:1:r-1,1,0
DELIFEQ 3 fast,write fast,string,write w:1:r0,1,0
DISCARD 1 allow_busy,fast,loading,noscript,stale fast,transaction
DUMP 2 readonly keyspace,read,slow r:1:r0,1,0
ECHO 2 fast,loading,stale connection,fast
EVAL -3 movablekeys,no_mandatory_keys,noscript,skip_monitor,stale scripting,slow rw:2:n0,1,1
EVALSHA -3 movablekeys,no_mandatory_keys,noscript,skip_monitor,stale scripting,slow rw:2:n0,1,1
EVALSHA_RO -3 movablekeys,no_mandatory_keys,noscript,readonly,skip_monitor,stale scripting,slow r:2:n0,1,1
EVAL_RO -3 movablekeys,no_mandatory_keys,noscript,readonly,skip_monitor,stale scripting,slow r:2:n0,1,1
EXEC 1 loading,noscript,skip_commandlog,stale slow,transaction
EXISTS -2 fast,readonly fast,keyspace,read r:1:r-1,1,0
EXPIRE -3 fast,write fast,keyspace,write w:1:r0,1,0
EXPIREAT -3 fast,write fast,keyspace,write w:1:r0,1,0
EXPIRETIME 2 fast,readonly fast,keyspace,read r:1:r0,1,0
FAILOVER -1 admin,noscript,stale admin,dangerous,slow
FCALL -3 movablekeys,no_mandatory_keys,noscript,skip_monitor,stale scripting,slow rw:2:n0,1,1
FCALL_RO -3 movablekeys,no_mandatory_keys,noscript,readonly,skip_monitor,stale scripting,slow r:2:n0,1,1
FLUSHALL -1 write dangerous,keyspace,slow,write
FLUSHDB -1 write dangerous,keyspace,slow,write
FUNCTION -2 - slow
GEOADD -5 denyoom,write geo,slow,write w:1:r0,1,0
GEODIST -4 readonly geo,read,slow r:1:r0,1,0
GEOHASH -2 readonly geo,read,slow r:1:r0,1,0
GEOPOS -2 readonly geo,read,slow r:1:r0,1,0
GEORADIUS -6 denyoom,movablekeys,write geo,slow,write r:1:r0,1,0 w:STORE@6:r0,1,0 w:STOREDIST@6:r0,1,0
GEORADIUSBYMEMBER -5 denyoom,movablekeys,write geo,slow,write r:1:r0,1,0 w:STORE@5:r0,1,0 w:STOREDIST@5:r0,1,0
GEORADIUSBYMEMBER_RO -5 readonly geo,read,slow r:1:r0,1,0
GEORADIUS_RO -6 readonly geo,read,slow r:1:r0,1,0
GEOSEARCH -7 readonly geo,read,slow r:1:r0,1,0
GEOSEARCHSTORE -8 denyoom,write geo,slow,write w:1:r0,1,0 r:2:r0,1,0
GET 2 fast,readonly fast,read,string r:1:r0,1,0
GETBIT 3 fast,readonly bitmap,fast,read r:1:r0,1,0
GETDEL 2 fast,write fast,string,write rw:1:r0,1,0
GETEX -2 fast,write fast,string,write rw:1:r0,1,0
GETRANGE 4 readonly read,slow,string r:1:r0,1,0
GETSET 3 denyoom,fast,write fast,string,write rw:1:r0,1,0
HDEL -3 fast,write fast,hash,write w:1:r0,1,0
HELLO -1 allow_busy,fast,loading,no_auth,noscript,stale connection,fast
HEXISTS 3 fast,readonly fast,hash,read r:1:r0,1,0
HEXPIRE -6 fast,write fast,hash,write w:1:r0,1,0
HEXPIREAT -6 fast,write fast,hash,write w:1:r0,1,0
HEXPIRETIME -5 fast,readonly fast,hash,read r:1:r0,1,0
HGET 3 fast,readonly fast,hash,read r:1:r0,1,0
HGETALL 2 readonly hash,read,slow r:1:r0,1,0
HGETDEL -5 fast,write fast,hash,write rw:1:r0,1,0
HGETEX -5 fast,write fast,hash,write rw:1:r0,1,0
HINCRBY 4 denyoom,fast,write fast,hash,write rw:1:r0,1,0
HINCRBYFLOAT 4 denyoom,fast,write fast,hash,write rw:1:r0,1,0
HKEYS 2 readonly hash,read,slow r:1:r0,1,0
HLEN 2 fast,readonly fast,hash,read r:1:r0,1,0
HMGET -3 fast,readonly fast,hash,read r:1:r0,1,0
HMSET -4 denyoom,fast,write fast,hash,write w:1:r0,1,0
HPERSIST -5 fast,write fast,hash,write w:1:r0,1,0
HPEXPIRE -6 fast,write fast,hash,write w:1:r0,1,0
HPEXPIREAT -6 fast,write fast,hash,write w:1:r0,1,0
HPEXPIRETIME -5 fast,readonly fast,hash,read r:1:r0,1,0
HPTTL -5 fast,readonly fast,hash,read r:1:r0,1,0
HRANDFIELD -2 readonly hash,read,slow r:1:r0,1,0
HSCAN -3 readonly hash,read,slow r:1:r0,1,0
HSET -4 denyoom,fast,write fast,hash,write w:1:r0,1,0
HSETEX -6 denyoom,fast,write fast,hash,write w:1:r0,1,0
HSETNX 4 denyoom,fast,write fast,hash,write w:1:r0,1,0
HSTRLEN 3 fast,readonly fast,hash,read r:1:r0,1,0
HTTL -5 fast,readonly fast,hash,read r:1:r0,1,0
HVALS 2 readonly hash,read,slow r:1:r0,1,0
INCR 2 denyoom,fast,write fast,string,write rw:1:r0,1,0
INCRBY 3 denyoom,fast,write fast,string,write rw:1:r0,1,0
INCRBYFLOAT 3 denyoom,fast,write fast,string,write rw:1:r0,1,0
INFO -1 loading,stale dangerous,slow
KEYS 2 readonly dangerous,keyspace,read,slow
LASTSAVE 1 fast,loading,stale admin,dangerous,fast
LATENCY -2 - slow
LCS -3 readonly read,slow,string r:1:r1,1,0
LINDEX 3 readonly list,read,slow r:1:r0,1,0
LINSERT 5 denyoom,write list,slow,write w:1:r0,1,0
LLEN 2 fast,readonly fast,list,read r:1:r0,1,0
LMOVE 5 denyoom,write list,slow,write rw:1:r0,1,0 w:2:r0,1,0
LMPOP -4 movablekeys,write list,slow,write rw:1:n0,1,1
LOLWUT -1 fast,readonly fast,read
LPOP -2 fast,write fast,list,write rw:1:r0,1,0
LPOS -3 readonly list,read,slow r:1:r0,1,0
LPUSH -3 denyoom,fast,write fast,list,write w:1:r0,1,0
LPUSHX -3 denyoom,fast,write fast,list,write w:1:r0,1,0
LRANGE 4 readonly list,read,slow r:1:r0,1,0
LREM 4 write list,slow,write w:1:r0,1,0
LSET 4 denyoom,write list,slow,write w:1:r0,1,0
LTRIM 4 write list,slow,write w:1:r0,1,0
MEMORY -2 - slow
MGET -2 fast,readonly fast,read,string r:1:r-1,1,0
MIGRATE -6 movablekeys,write dangerous,keyspace,slow,write rw:3:r0,1,0 rw:KEYS@-2:r-1,1,0
MODULE -2 - slow
MONITOR 1 admin,loading,noscript,stale admin,dangerous,slow
MOVE 3 fast,write fast,keyspace,write rw:1:r0,1,0
MSET -3 denyoom,write slow,string,write w:1:r-1,2,0
MSETEX -4 denyoom,movablekeys,write slow,string,write w:1:n0,1,2
MSETNX -3 denyoom,write slow,string,write w:1:r-1,2,0
MULTI 1 allow_busy,fast,loading,no_multi,noscript,stale fast,transaction
OBJECT -2 - slow
PERSIST 2 fast,write fast,keyspace,write w:1:r0,1,0
PEXPIRE -3 fast,write fast,keyspace,write w:1:r0,1,0
PEXPIREAT -3 fast,write fast,keyspace,write w:1:r0,1,0
PEXPIRETIME 2 fast,readonly fast,keyspace,read r:1:r0,1,0
PFADD -2 denyoom,fast,write fast,hyperloglog,write w:1:r0,1,0
PFCOUNT -2 readonly hyperloglog,read,slow rw:1:r-1,1,0
PFDEBUG 3 admin,denyoom,write admin,dangerous,hyperloglog,slow,write rw:2:r0,1,0
PFMERGE -2 denyoom,write hyperloglog,slow,write rw:1:r0,1,0 r:2:r-1,1,0
PFSELFTEST 1 admin admin,dangerous,hyperloglog,slow
PING -1 fast connection,fast
PSETEX 4 denyoom,write slow,string,write w:1:r0,1,0
PSUBSCRIBE -2 loading,noscript,pubsub,stale pubsub,slow
PSYNC -3 admin,no_async_loading,no_multi,noscript admin,dangerous,slow
PTTL 2 fast,readonly fast,keyspace,read r:1:r0,1,0
PUBLISH 3 fast,loading,pubsub,stale fast,pubsub
PUBSUB -2 - slow
PUNSUBSCRIBE -1 loading,noscript,pubsub,stale pubsub,slow
QUIT -1 allow_busy,fast,loading,no_auth,noscript,stale connection,fast
RANDOMKEY 1 readonly keyspace,read,slow
READONLY 1 fast,loading,stale connection,fast
READWRITE 1 fast,loading,stale connection,fast
RENAME 3 write keyspace,slow,write rw:1:r0,1,0 w:2:r0,1,0
RENAMENX 3 fast,write fast,keyspace,write rw:1:r0,1,0 w:2:r0,1,0
REPLCONF -1 admin,allow_busy,loading,noscript,stale admin,dangerous,slow
REPLICAOF 3 admin,no_async_loading,noscript,stale admin,dangerous,slow
RESET 1 allow_busy,fast,loading,no_auth,noscript,stale connection,fast
RESTORE -4 denyoom,write dangerous,keyspace,slow,write w:1:r0,1,0
RESTORE-ASKING -4 asking,denyoom,write dangerous,keyspace,slow,write w:1:r0,1,0
ROLE 1 fast,loading,noscript,stale admin,dangerous,fast
RPOP -2 fast,write fast,list,write rw:1:r0,1,0
RPOPLPUSH 3 denyoom,write list,slow,write rw:1:r0,1,0 w:2:r0,1,0
RPUSH -3 denyoom,fast,write fast,list,write w:1:r0,1,0
RPUSHX -3 denyoom,fast,write fast,list,write w:1:r0,1,0
SADD -3 denyoom,fast,write fast,set,write w:1:r0,1,0
SAVE 1 admin,no_async_loading,no_multi,noscript admin,dangerous,slow
SCAN -2 readonly keyspace,read,slow
SCARD 2 fast,readonly fast,read,set r:1:r0,1,0
SCRIPT -2 - slow
SDIFF -2 readonly read,set,slow r:1:r-1,1,0
SDIFFSTORE -3 denyoom,write set,slow,write w:1:r0,1,0 r:2:r-1,1,0
SELECT 2 allow_busy,fast,loading,stale connection,fast
SET -3 denyoom,write slow,string,write rw:1:r0,1,0
SETBIT 4 denyoom,write bitmap,slow,write rw:1:r0,1,0
SETEX 4 denyoom,write slow,string,write w:1:r0,1,0
SETNX 3 denyoom,fast,write fast,string,write w:1:r0,1,0
SETRANGE 4 denyoom,write slow,string,write w:1:r0,1,0
SHUTDOWN -1 admin,allow_busy,loading,no_multi,noscript,stale admin,dangerous,slow
SINTER -2 readonly read,set,slow r:1:r-1,1,0
SINTERCARD -3 movablekeys,readonly read,set,slow r:1:n0,1,1
SINTERSTORE -3 denyoom,write set,slow,write w:1:r0,1,0 r:2:r-1,1,0
SISMEMBER 3 fast,readonly fast,read,set r:1:r0,1,0
SLAVEOF 3 admin,no_async_loading,noscript,stale admin,dangerous,slow
SLOWLOG -2 - slow
SMEMBERS 2 readonly read,set,slow r:1:r0,1,0
SMISMEMBER -3 fast,readonly fast,read,set r:1:r0,1,0
SMOVE 4 fast,write fast,set,write rw:1:r0,1,0 w:2:r0,1,0
SORT -2 denyoom,movablekeys,write dangerous,list,set,slow,sortedset,write r:1:r0,1,0
SORT_RO -2 movablekeys,readonly dangerous,list,read,set,slow,sortedset r:1:r0,1,0
SPOP -2 fast,write fast,set,write rw:1:r0,1,0
SPUBLISH 3 fast,loading,pubsub,stale fast,pubsub c:1:r0,1,0
SRANDMEMBER -2 readonly read,set,slow r:1:r0,1,0
SREM -3 fast,write fast,set,write w:1:r0,1,0
SSCAN -3 readonly read,set,slow r:1:r0,1,0
SSUBSCRIBE -2 loading,noscript,pubsub,stale pubsub,slow c:1:r-1,1,0
STRLEN 2 fast,readonly fast,read,string r:1:r0,1,0
SUBSCRIBE -2 loading,noscript,pubsub,stale pubsub,slow
SUBSTR 4 readonly read,slow,string r:1:r0,1,0
SUNION -2 readonly read,set,slow r:1:r-1,1,0
SUNIONSTORE -3 denyoom,write set,slow,write w:1:r0,1,0 r:2:r-1,1,0
SUNSUBSCRIBE -1 loading,noscript,pubsub,stale pubsub,slow c:1:r-1,1,0
SWAPDB 3 fast,write dangerous,fast,keyspace,write
SYNC 1 admin,no_async_loading,no_multi,noscript admin,dangerous,slow
TIME 1 fast,loading,stale fast
TOUCH -2 fast,readonly fast,keyspace,read r:1:r-1,1,0
TTL 2 fast,readonly fast,keyspace,read r:1:r0,1,0
TYPE 2 fast,readonly fast,keyspace,read r:1:r0,1,0
UNLINK -2 fast,write fast,keyspace,write w:1:r-1,1,0
UNSUBSCRIBE -1 loading,noscript,pubsub,stale pubsub,slow
UNWATCH 1 allow_busy,fast,loading,noscript,stale fast,transaction
WAIT 3 blocking blocking,connection,slow
WAITAOF 4 blocking blocking,connection,slow
WATCH -2 allow_busy,fast,loading,no_multi,noscript,stale fast,transaction r:1:r-1,1,0
XACK -4 fast,write fast,stream,write w:1:r0,1,0
XADD -5 denyoom,fast,write fast,stream,write w:1:r0,1,0
XAUTOCLAIM -6 fast,write fast,stream,write w:1:r0,1,0
XCLAIM -6 fast,write fast,stream,write w:1:r0,1,0
XDEL -3 fast,write fast,stream,write w:1:r0,1,0
XGROUP -2 - slow
XINFO -2 - slow
XLEN 2 fast,readonly fast,read,stream r:1:r0,1,0
XPENDING -3 readonly read,slow,stream r:1:r0,1,0
XRANGE -4 readonly read,slow,stream r:1:r0,1,0
XREAD -4 blocking,movablekeys,readonly blocking,read,slow,stream r:STREAMS@1:r-1,1,2
XREADGROUP -7 blocking,movablekeys,write blocking,slow,stream,write r:STREAMS@4:r-1,1,2
XREVRANGE -4 readonly read,slow,stream r:1:r0,1,0
XSETID -3 denyoom,fast,write fast,stream,write w:1:r0,1,0
XTRIM -4 write slow,stream,write w:1:r0,1,0
ZADD -4 denyoom,fast,write fast,sortedset,write w:1:r0,1,0
ZCARD 2 fast,readonly fast,read,sortedset r:1:r0,1,0
ZCOUNT 4 fast,readonly fast,read,sortedset r:1:r0,1,0
ZDIFF -3 movablekeys,readonly read,slow,sortedset r:1:n0,1,1
ZDIFFSTORE -4 denyoom,movablekeys,write slow,sortedset,write w:1:r0,1,0 r:2:n0,1,1
ZINCRBY 4 denyoom,fast,write fast,sortedset,write rw:1:r0,1,0
ZINTER -3 movablekeys,readonly read,slow,sortedset r:1:n0,1,1
ZINTERCARD -3 movablekeys,readonly read,slow,sortedset r:1:n0,1,1
ZINTERSTORE -4 denyoom,movablekeys,write slow,sortedset,write w:1:r0,1,0 r:2:n0,1,1
ZLEXCOUNT 4 fast,readonly fast,read,sortedset r:1:r0,1,0
ZMPOP -4 movablekeys,write slow,sortedset,write rw:1:n0,1,1
ZMSCORE -3 fast,readonly fast,read,sortedset r:1:r0,1,0
ZPOPMAX -2 fast,write fast,sortedset,write rw:1:r0,1,0
ZPOPMIN -2 fast,write fast,sortedset,write rw:1:r0,1,0
ZRANDMEMBER -2 readonly read,slow,sortedset r:1:r0,1,0
ZRANGE -4 readonly read,slow,sortedset r:1:r0,1,0
ZRANGEBYLEX -4 readonly read,slow,sortedset r:1:r0,1,0
ZRANGEBYSCORE -4 readonly read,slow,sortedset r:1:r0,1,0
ZRANGESTORE -5 denyoom,write slow,sortedset,write w:1:r0,1,0 r:2:r0,1,0
ZRANK -3 fast,readonly fast,read,sortedset r:1:r0,1,0
ZREM -3 fast,write fast,sortedset,write w:1:r0,1,0
ZREMRANGEBYLEX 4 write slow,sortedset,write w:1:r0,1,0
ZREMRANGEBYRANK 4 write slow,sortedset,write w:1:r0,1,0
ZREMRANGEBYSCORE 4 write slow,sortedset,write w:1:r0,1,0
ZREVRANGE -4 readonly read,slow,sortedset r:1:r0,1,0
ZREVRANGEBYLEX -4 readonly read,slow,sortedset r:1:r0,1,0
ZREVRANGEBYSCORE -4 readonly read,slow,sortedset r:1:r0,1,0
ZREVRANK -3 fast,readonly fast,read,sortedset r:1:r0,1,0
ZSCAN -3 readonly read,slow,sortedset r:1:r0,1,0
ZSCORE 3 fast,readonly fast,read,sortedset r:1:r0,1,0
ZUNION -3 movablekeys,readonly read,slow,sortedset r:1:n0,1,1
ZUNIONSTORE -4 denyoom,movablekeys,write slow,sortedset,write w:1:r0,1,0 r:2:n0,1,1
"""
