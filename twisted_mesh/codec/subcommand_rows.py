"""What a server says of the subcommands of its commands.

Written by .ci/commands.py: name, arity, flags, ACL categories, key specifications.
"""

ROWS = """
ACL|CAT -2 loading,noscript,stale slow
ACL|DELUSER -3 admin,loading,noscript,stale admin,dangerous,slow
ACL|DRYRUN -4 admin,loading,noscript,stale admin,dangerous,slow
ACL|GENPASS -2 loading,noscript,stale slow
ACL|GETUSER 3 admin,loading,noscript,stale admin,dangerous,slow
ACL|HELP 2 loading,stale slow
ACL|LIST 2 admin,loading,noscript,stale admin,dangerous,slow
ACL|LOAD 2 admin,loading,noscript,stale admin,dangerous,slow
ACL|LOG -2 admin,loading,noscript,stale admin,dangerous,slow
ACL|SAVE 2 admin,loading,noscript,stale admin,dangerous,slow
ACL|SETUSER -3 admin,loading,noscript,stale admin,dangerous,slow
ACL|USERS 2 admin,loading,noscript,stale admin,dangerous,slow
ACL|WHOAMI 2 loading,noscript,stale slow
CLIENT|CACHING 3 allow_busy,loading,noscript,stale connection,slow
CLIENT|CAPA -3 allow_busy,loading,noscript,stale connection,slow
CLIENT|GETNAME 2 allow_busy,loading,noscript,stale connection,slow
CLIENT|GETREDIR 2 allow_busy,loading,noscript,stale connection,slow
CLIENT|HELP 2 loading,stale connection,slow
CLIENT|ID 2 allow_busy,loading,noscript,stale connection,slow
CLIENT|IMPORT-SOURCE 3 loading,noscript,stale connection,slow
CLIENT|INFO 2 loading,noscript,stale connection,slow
CLIENT|KILL -3 admin,loading,noscript,stale admin,connection,dangerous,slow
CLIENT|LIST -2 admin,loading,noscript,stale admin,connection,dangerous,slow
CLIENT|NO-EVICT 3 admin,allow_busy,loading,noscript,stale admin,connection,dangerous,slow
CLIENT|NO-TOUCH 3 allow_busy,loading,noscript,stale connection,slow
CLIENT|PAUSE -3 admin,loading,noscript,stale admin,connection,dangerous,slow
CLIENT|REPLY 3 allow_busy,loading,no_multi,noscript,stale connection,slow
CLIENT|SETINFO 4 allow_busy,loading,noscript,stale connection,slow
CLIENT|SETNAME 3 allow_busy,loading,noscript,stale connection,slow
CLIENT|TRACKING -3 loading,noscript,stale connection,slow
CLIENT|TRACKINGINFO 2 loading,noscript,stale connection,slow
CLIENT|UNBLOCK -3 admin,loading,noscript,stale admin,connection,dangerous,slow
CLIENT|UNPAUSE 2 admin,loading,noscript,stale admin,connection,dangerous,slow
CLUSTER|ADDSLOTS -3 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|ADDSLOTSRANGE -4 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|BUMPEPOCH 2 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|CANCELSLOTMIGRATIONS 2 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|COUNT-FAILURE-REPORTS 3 admin,stale admin,dangerous,slow
CLUSTER|COUNTKEYSINSLOT 3 stale slow
CLUSTER|DELSLOTS -3 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|DELSLOTSRANGE -4 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|FAILOVER -2 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|FLUSHSLOT -3 admin,no_async_loading,write admin,dangerous,keyspace,slow,write
CLUSTER|FLUSHSLOTS 2 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|FORGET 3 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|GETKEYSINSLOT 4 stale slow
CLUSTER|GETSLOTMIGRATIONS 2 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|HELP 2 loading,stale slow
CLUSTER|INFO 2 loading,stale slow
CLUSTER|KEYSLOT 3 stale slow
CLUSTER|LINKS 2 stale slow
CLUSTER|MEET -4 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|MIGRATESLOTS -4 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|MYID 2 loading,stale slow
CLUSTER|MYSHARDID 2 loading,stale slow
CLUSTER|NODES 2 loading,stale slow
CLUSTER|REPLICAS 3 admin,stale admin,dangerous,slow
CLUSTER|REPLICATE -3 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|RESET -2 admin,noscript,stale admin,dangerous,slow
CLUSTER|SAVECONFIG 2 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|SET-CONFIG-EPOCH 3 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|SETSLOT -4 admin,no_async_loading,stale admin,dangerous,slow
CLUSTER|SHARDS 2 loading,stale slow
CLUSTER|SLAVES 3 admin,stale admin,dangerous,slow
CLUSTER|SLOT-STATS -4 loading,stale slow
CLUSTER|SLOTS 2 loading,stale slow
CLUSTER|SYNCSLOTS -3 admin,no_async_loading,stale admin,dangerous,slow
COMMANDLOG|GET 4 admin,loading,stale admin,dangerous,slow
COMMANDLOG|HELP 2 loading,stale slow
COMMANDLOG|LEN 3 admin,loading,stale admin,dangerous,slow
COMMANDLOG|RESET 3 admin,loading,stale admin,dangerous,slow
COMMAND|COUNT 2 loading,stale connection,slow
COMMAND|DOCS -2 loading,stale connection,slow
COMMAND|GETKEYS -3 loading,stale connection,slow
COMMAND|GETKEYSANDFLAGS -3 loading,stale connection,slow
COMMAND|HELP 2 loading,stale connection,slow
COMMAND|INFO -2 loading,stale connection,slow
COMMAND|LIST -2 loading,stale connection,slow
CONFIG|GET -3 admin,loading,noscript,stale admin,dangerous,slow
CONFIG|HELP 2 loading,stale slow
CONFIG|RESETSTAT 2 admin,loading,noscript,stale admin,dangerous,slow
CONFIG|REWRITE 2 admin,loading,noscript,stale admin,dangerous,slow
CONFIG|SET -4 admin,loading,noscript,stale admin,dangerous,slow
FUNCTION|DELETE 3 noscript,write scripting,slow,write
FUNCTION|DUMP 2 noscript scripting,slow
FUNCTION|FLUSH -2 noscript,write scripting,slow,write
FUNCTION|HELP 2 loading,stale scripting,slow
FUNCTION|KILL 2 allow_busy,noscript scripting,slow
FUNCTION|LIST -2 noscript scripting,slow
FUNCTION|LOAD -3 denyoom,noscript,write scripting,slow,write
FUNCTION|RESTORE -3 denyoom,noscript,write scripting,slow,write
FUNCTION|STATS 2 allow_busy,noscript scripting,slow
LATENCY|DOCTOR 2 admin,loading,noscript,stale admin,dangerous,slow
LATENCY|GRAPH 3 admin,loading,noscript,stale admin,dangerous,slow
LATENCY|HELP 2 loading,stale slow
LATENCY|HISTOGRAM -2 admin,loading,noscript,stale admin,dangerous,slow
LATENCY|HISTORY 3 admin,loading,noscript,stale admin,dangerous,slow
LATENCY|LATEST 2 admin,loading,noscript,stale admin,dangerous,slow
LATENCY|RESET -2 admin,loading,noscript,stale admin,dangerous,slow
MEMORY|DOCTOR 2 - slow
MEMORY|HELP 2 loading,stale slow
MEMORY|MALLOC-STATS 2 loading slow
MEMORY|PURGE 2 loading slow
MEMORY|STATS 2 - slow
MEMORY|USAGE -3 readonly read,slow r:2:r0,1,0
MODULE|HELP 2 loading,stale slow
MODULE|LIST 2 admin,noscript admin,dangerous,slow
MODULE|LOAD -3 admin,no_async_loading,noscript admin,dangerous,slow
MODULE|LOADEX -3 admin,no_async_loading,noscript admin,dangerous,slow
MODULE|UNLOAD 3 admin,no_async_loading,noscript admin,dangerous,slow
OBJECT|ENCODING 3 readonly keyspace,read,slow r:2:r0,1,0
OBJECT|FREQ 3 readonly keyspace,read,slow r:2:r0,1,0
OBJECT|HELP 2 loading,stale keyspace,slow
OBJECT|IDLETIME 3 readonly keyspace,read,slow r:2:r0,1,0
OBJECT|REFCOUNT 3 readonly keyspace,read,slow r:2:r0,1,0
PUBSUB|CHANNELS -2 loading,pubsub,stale pubsub,slow
PUBSUB|HELP 2 loading,stale slow
PUBSUB|NUMPAT 2 loading,pubsub,stale pubsub,slow
PUBSUB|NUMSUB -2 loading,pubsub,stale pubsub,slow
PUBSUB|SHARDCHANNELS -2 loading,pubsub,stale pubsub,slow
PUBSUB|SHARDNUMSUB -2 loading,pubsub,stale pubsub,slow
SCRIPT|DEBUG -3 noscript scripting,slow
SCRIPT|EXISTS -3 noscript,stale scripting,slow
SCRIPT|FLUSH -2 noscript,stale scripting,slow
SCRIPT|HELP 2 loading,stale scripting,slow
SCRIPT|KILL 2 allow_busy,noscript scripting,slow
SCRIPT|LOAD 3 noscript,stale scripting,slow
SCRIPT|SHOW 3 noscript,stale scripting,slow
SLOWLOG|GET -2 admin,loading,stale admin,dangerous,slow
SLOWLOG|HELP 2 loading,stale slow
SLOWLOG|LEN 2 admin,loading,stale admin,dangerous,slow
SLOWLOG|RESET 2 admin,loading,stale admin,dangerous,slow
XGROUP|CREATE -5 denyoom,write slow,stream,write w:2:r0,1,0
XGROUP|CREATECONSUMER 5 denyoom,write slow,stream,write w:2:r0,1,0
XGROUP|DELCONSUMER 5 write slow,stream,write w:2:r0,1,0
XGROUP|DESTROY 4 write slow,stream,write w:2:r0,1,0
XGROUP|HELP 2 loading,stale slow,stream
XGROUP|SETID -5 write slow,stream,write w:2:r0,1,0
XINFO|CONSUMERS 4 readonly read,slow,stream r:2:r0,1,0
XINFO|GROUPS 3 readonly read,slow,stream r:2:r0,1,0
XINFO|HELP 2 loading,stale slow,stream
XINFO|STREAM -3 readonly read,slow,stream r:2:r0,1,0
"""
