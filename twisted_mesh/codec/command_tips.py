"""What else a server says of its commands, which nobody here goes by: clients are told.

Written by .ci/commands.py.
"""

# The command, and its tips.
TIPS = """
ACL|DELUSER request_policy:all_nodes,response_policy:all_succeeded
ACL|SAVE request_policy:all_nodes,response_policy:all_succeeded
ACL|SETUSER request_policy:all_nodes,response_policy:all_succeeded
CLIENT|INFO nondeterministic_output
CLIENT|LIST nondeterministic_output
CLIENT|SETINFO request_policy:all_nodes,response_policy:all_succeeded
CLIENT|SETNAME request_policy:all_nodes,response_policy:all_succeeded
CLUSTERSCAN nondeterministic_output,request_policy:special,response_policy:special
CLUSTER|BUMPEPOCH nondeterministic_output
CLUSTER|COUNT-FAILURE-REPORTS nondeterministic_output
CLUSTER|GETKEYSINSLOT nondeterministic_output
CLUSTER|INFO nondeterministic_output
CLUSTER|LINKS nondeterministic_output
CLUSTER|MYSHARDID nondeterministic_output
CLUSTER|NODES nondeterministic_output
CLUSTER|REPLICAS nondeterministic_output
CLUSTER|SHARDS nondeterministic_output
CLUSTER|SLAVES nondeterministic_output
CLUSTER|SLOT-STATS nondeterministic_output,request_policy:all_shards
CLUSTER|SLOTS nondeterministic_output
COMMAND nondeterministic_output_order
COMMANDLOG|GET request_policy:all_nodes,nondeterministic_output
COMMANDLOG|LEN request_policy:all_nodes,response_policy:agg_sum,nondeterministic_output
COMMANDLOG|RESET request_policy:all_nodes,response_policy:all_succeeded
COMMAND|DOCS nondeterministic_output_order
COMMAND|INFO nondeterministic_output_order
COMMAND|LIST nondeterministic_output_order
CONFIG|RESETSTAT request_policy:all_nodes,response_policy:all_succeeded
CONFIG|REWRITE request_policy:all_nodes,response_policy:all_succeeded
CONFIG|SET request_policy:all_nodes,response_policy:all_succeeded
DBSIZE request_policy:all_shards,response_policy:agg_sum
DEL request_policy:multi_shard,response_policy:agg_sum
DUMP nondeterministic_output
EXISTS request_policy:multi_shard,response_policy:agg_sum
FLUSHALL request_policy:all_shards,response_policy:all_succeeded
FLUSHDB request_policy:all_shards,response_policy:all_succeeded
FUNCTION|DELETE request_policy:all_shards,response_policy:all_succeeded
FUNCTION|FLUSH request_policy:all_shards,response_policy:all_succeeded
FUNCTION|KILL request_policy:all_shards,response_policy:one_succeeded
FUNCTION|LIST nondeterministic_output_order
FUNCTION|LOAD request_policy:all_shards,response_policy:all_succeeded
FUNCTION|RESTORE request_policy:all_shards,response_policy:all_succeeded
FUNCTION|STATS nondeterministic_output,request_policy:all_shards,response_policy:special
HGETALL nondeterministic_output_order
HKEYS nondeterministic_output_order
HRANDFIELD nondeterministic_output
HSCAN nondeterministic_output
HVALS nondeterministic_output_order
INFO nondeterministic_output,request_policy:all_shards,response_policy:special
KEYS request_policy:all_shards,nondeterministic_output_order
LASTSAVE nondeterministic_output
LATENCY|DOCTOR nondeterministic_output,request_policy:all_nodes,response_policy:special
LATENCY|GRAPH nondeterministic_output,request_policy:all_nodes,response_policy:special
LATENCY|HISTOGRAM nondeterministic_output,request_policy:all_nodes,response_policy:special
LATENCY|HISTORY nondeterministic_output,request_policy:all_nodes,response_policy:special
LATENCY|LATEST nondeterministic_output,request_policy:all_nodes,response_policy:special
LATENCY|RESET request_policy:all_nodes,response_policy:agg_sum
MEMORY|DOCTOR nondeterministic_output,request_policy:all_shards,response_policy:special
MEMORY|MALLOC-STATS nondeterministic_output,request_policy:all_shards,response_policy:special
MEMORY|PURGE request_policy:all_shards,response_policy:all_succeeded
MEMORY|STATS nondeterministic_output,request_policy:all_shards,response_policy:special
MGET request_policy:multi_shard
MIGRATE nondeterministic_output
MODULE|LIST nondeterministic_output_order
MSET request_policy:multi_shard,response_policy:all_succeeded
MSETEX request_policy:multi_shard,response_policy:all_succeeded
OBJECT|ENCODING nondeterministic_output
OBJECT|FREQ nondeterministic_output
OBJECT|IDLETIME nondeterministic_output
OBJECT|REFCOUNT nondeterministic_output
PING request_policy:all_shards,response_policy:all_succeeded
PTTL nondeterministic_output
RANDOMKEY request_policy:all_shards,response_policy:special,nondeterministic_output
SCAN nondeterministic_output,request_policy:special,response_policy:special
SCRIPT|EXISTS request_policy:all_shards,response_policy:agg_logical_and
SCRIPT|FLUSH request_policy:all_nodes,response_policy:all_succeeded
SCRIPT|KILL request_policy:all_shards,response_policy:one_succeeded
SCRIPT|LOAD request_policy:all_nodes,response_policy:all_succeeded
SDIFF nondeterministic_output_order
SINTER nondeterministic_output_order
SLOWLOG|GET request_policy:all_nodes,nondeterministic_output
SLOWLOG|LEN request_policy:all_nodes,response_policy:agg_sum,nondeterministic_output
SLOWLOG|RESET request_policy:all_nodes,response_policy:all_succeeded
SMEMBERS nondeterministic_output_order
SPOP nondeterministic_output
SRANDMEMBER nondeterministic_output
SSCAN nondeterministic_output
SUNION nondeterministic_output_order
TIME nondeterministic_output
TOUCH request_policy:multi_shard,response_policy:agg_sum
TTL nondeterministic_output
UNLINK request_policy:multi_shard,response_policy:agg_sum
WAIT request_policy:all_shards,response_policy:agg_min
WAITAOF request_policy:all_shards,response_policy:agg_min
XADD nondeterministic_output
XAUTOCLAIM nondeterministic_output
XCLAIM nondeterministic_output
XINFO|CONSUMERS nondeterministic_output
XPENDING nondeterministic_output
XTRIM nondeterministic_output
ZRANDMEMBER nondeterministic_output
ZSCAN nondeterministic_output
"""

# The command, and for each of its key specifications the flags; ? where it does not say where the keys are.
USES = """
APPEND RW,insert
BITCOUNT RO,access
BITFIELD RW,access,update,variable_flags
BITFIELD_RO RO,access
BITOP OW,update RO,access
BITPOS RO,access
BLMOVE RW,access,delete RW,insert
BLMPOP RW,access,delete
BLPOP RW,access,delete
BRPOP RW,access,delete
BRPOPLPUSH RW,access,delete RW,insert
BZMPOP RW,access,delete
BZPOPMAX RW,access,delete
BZPOPMIN RW,access,delete
CLUSTERSCAN not_key
COPY RO,access OW,update
DECR RW,access,update
DECRBY RW,access,update
DEL RM,delete
DELIFEQ RM,delete
DUMP RO,access
EVAL RW,access,update
EVAL_RO RO,access
EVALSHA RW,access,update
EVALSHA_RO RO,access
EXISTS RO
EXPIRE RW,update
EXPIREAT RW,update
EXPIRETIME RO,access
FCALL RW,access,update
FCALL_RO RO,access
GEOADD RW,update
GEODIST RO,access
GEOHASH RO,access
GEOPOS RO,access
GEORADIUS RO,access OW,update,variable_flags OW,update,variable_flags
GEORADIUS_RO RO,access
GEORADIUSBYMEMBER RO,access OW,update,variable_flags OW,update,variable_flags
GEORADIUSBYMEMBER_RO RO,access
GEOSEARCH RO,access
GEOSEARCHSTORE OW,update RO,access
GET RO,access
GETBIT RO,access
GETDEL RW,access,delete
GETEX RW,access,update
GETRANGE RO,access
GETSET RW,access,update
HDEL RW,delete
HEXISTS RO
HEXPIRE RW,update
HEXPIREAT RW,update
HEXPIRETIME RO,access
HGET RO,access
HGETALL RO,access
HGETDEL RW,access,delete
HGETEX RW,access,update
HINCRBY RW,access,update
HINCRBYFLOAT RW,access,update
HKEYS RO,access
HLEN RO
HMGET RO,access
HMSET RW,update
HPERSIST RW,update
HPEXPIRE RW,update
HPEXPIREAT RW,update
HPEXPIRETIME RO,access
HPTTL RO,access
HRANDFIELD RO,access
HSCAN RO,access
HSET RW,update
HSETEX RW,insert
HSETNX RW,insert
HSTRLEN RO
HTTL RO,access
HVALS RO,access
INCR RW,access,update
INCRBY RW,access,update
INCRBYFLOAT RW,access,update
LCS RO,access
LINDEX RO,access
LINSERT RW,insert
LLEN RO
LMOVE RW,access,delete RW,insert
LMPOP RW,access,delete
LPOP RW,access,delete
LPOS RO,access
LPUSH RW,insert
LPUSHX RW,insert
LRANGE RO,access
LREM RW,delete
LSET RW,update
LTRIM RW,delete
MEMORY|USAGE RO
MGET RO,access
MIGRATE RW,access,delete RW,access,delete,incomplete
MOVE RW,access,update
MSET OW,update
MSETEX OW,update
MSETNX OW,insert
OBJECT|ENCODING RO
OBJECT|FREQ RO
OBJECT|IDLETIME RO
OBJECT|REFCOUNT RO
PERSIST RW,update
PEXPIRE RW,update
PEXPIREAT RW,update
PEXPIRETIME RO,access
PFADD RW,insert
PFCOUNT RW,access
PFDEBUG RW,access
PFMERGE RW,access,insert RO,access
PSETEX OW,update
PTTL RO,access
RENAME RW,access,delete OW,update
RENAMENX RW,access,delete OW,insert
RESTORE OW,update
RESTORE-ASKING OW,update
RPOP RW,access,delete
RPOPLPUSH RW,access,delete RW,insert
RPUSH RW,insert
RPUSHX RW,insert
SADD RW,insert
SCARD RO
SDIFF RO,access
SDIFFSTORE OW,update RO,access
SET RW,access,update,variable_flags
SETBIT RW,access,update
SETEX OW,update
SETNX OW,insert
SETRANGE RW,update
SINTER RO,access
SINTERCARD RO,access
SINTERSTORE OW,update RO,access
SISMEMBER RO
SMEMBERS RO,access
SMISMEMBER RO,access
SMOVE RW,access,delete RW,insert
SORT RO,access ?RO,access ?OW,update
SORT_RO RO,access ?RO,access
SPOP RW,access,delete
SPUBLISH not_key
SRANDMEMBER RO,access
SREM RW,delete
SSCAN RO,access
SSUBSCRIBE not_key
STRLEN RO
SUBSTR RO,access
SUNION RO,access
SUNIONSTORE OW,update RO,access
SUNSUBSCRIBE not_key
TOUCH RO
TTL RO,access
TYPE RO
UNLINK RM,delete
WATCH RO
XACK RW,update
XADD RW,update
XAUTOCLAIM RW,delete
XCLAIM RW,update
XDEL RW,delete
XGROUP|CREATE RW,insert
XGROUP|CREATECONSUMER RW,insert
XGROUP|DELCONSUMER RW,delete
XGROUP|DESTROY RW,delete
XGROUP|SETID RW,update
XINFO|CONSUMERS RO,access
XINFO|GROUPS RO,access
XINFO|STREAM RO,access
XLEN RO
XPENDING RO,access
XRANGE RO,access
XREAD RO,access
XREADGROUP RO,access
XREVRANGE RO,access
XSETID RW,update
XTRIM RW,delete
ZADD RW,update
ZCARD RO
ZCOUNT RO,access
ZDIFF RO,access
ZDIFFSTORE OW,update RO,access
ZINCRBY RW,access,update
ZINTER RO,access
ZINTERCARD RO,access
ZINTERSTORE OW,update RO,access
ZLEXCOUNT RO,access
ZMPOP RW,access,delete
ZMSCORE RO,access
ZPOPMAX RW,access,delete
ZPOPMIN RW,access,delete
ZRANDMEMBER RO,access
ZRANGE RO,access
ZRANGEBYLEX RO,access
ZRANGEBYSCORE RO,access
ZRANGESTORE OW,update RO,access
ZRANK RO,access
ZREM RW,delete
ZREMRANGEBYLEX RW,delete
ZREMRANGEBYRANK RW,delete
ZREMRANGEBYSCORE RW,delete
ZREVRANGE RO,access
ZREVRANGEBYLEX RO,access
ZREVRANGEBYSCORE RO,access
ZREVRANK RO,access
ZSCAN RO,access
ZSCORE RO,access
ZUNION RO,access
ZUNIONSTORE OW,update RO,access
"""
