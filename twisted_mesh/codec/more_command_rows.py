"""What other servers than Valkey 9.1 have: Redis 8, and its modules for JSON documents, filters and sketches.

The columns are those of command_rows.py, and most of it is what Redis 8.2 says with RedisBloom and RedisJSON.  Modules
say little: that a command has a key behind its name at least, which keys it has if there are several, and whether it
reads or writes for the classes of ACL is added here.
"""

ROWS = """
BF.ADD -2 denyoom,module,write slow,write rw:1:r0,1,0
BF.CARD -2 fast,module,readonly fast,read r:1:r0,1,0
BF.EXISTS -2 fast,module,readonly fast,read r:1:r0,1,0
BF.INFO -2 fast,module,readonly fast,read r:1:r0,1,0
BF.INSERT -2 denyoom,module,write slow,write rw:1:r0,1,0
BF.LOADCHUNK -2 denyoom,module,write slow,write rw:1:r0,1,0
BF.MADD -2 denyoom,module,write slow,write rw:1:r0,1,0
BF.MEXISTS -2 fast,module,readonly fast,read r:1:r0,1,0
BF.RESERVE -2 denyoom,module,write slow,write rw:1:r0,1,0
BF.SCANDUMP -2 fast,module,readonly fast,read r:1:r0,1,0
CF.ADD -2 denyoom,module,write slow,write rw:1:r0,1,0
CF.ADDNX -2 denyoom,module,write slow,write rw:1:r0,1,0
CF.COMPACT -2 fast,module,readonly fast,read r:1:r0,1,0
CF.COUNT -2 fast,module,readonly fast,read r:1:r0,1,0
CF.DEL -2 fast,module,write fast,write rw:1:r0,1,0
CF.EXISTS -2 fast,module,readonly fast,read r:1:r0,1,0
CF.INFO -2 fast,module,readonly fast,read r:1:r0,1,0
CF.INSERT -2 denyoom,module,write slow,write rw:1:r0,1,0
CF.INSERTNX -2 denyoom,module,write slow,write rw:1:r0,1,0
CF.LOADCHUNK -2 denyoom,module,write slow,write rw:1:r0,1,0
CF.MEXISTS -2 fast,module,readonly fast,read r:1:r0,1,0
CF.RESERVE -2 denyoom,module,write slow,write rw:1:r0,1,0
CF.SCANDUMP -2 fast,module,readonly fast,read r:1:r0,1,0
CMS.INCRBY -2 denyoom,module,write slow,write rw:1:r0,1,0
CMS.INFO -2 module,readonly read,slow r:1:r0,1,0
CMS.INITBYDIM -2 denyoom,module,write slow,write rw:1:r0,1,0
CMS.INITBYPROB -2 denyoom,module,write slow,write rw:1:r0,1,0
CMS.MERGE -4 denyoom,module,write slow,write w:1:r0,1,0 r:2:n0,1,1
CMS.QUERY -2 module,readonly read,slow r:1:r0,1,0
JSON.ARRAPPEND -2 denyoom,module,write slow,write rw:1:r0,1,0
JSON.ARRINDEX -2 module,readonly read,slow r:1:r0,1,0
JSON.ARRINSERT -2 denyoom,module,write slow,write rw:1:r0,1,0
JSON.ARRLEN -2 module,readonly read,slow r:1:r0,1,0
JSON.ARRPOP -2 module,write slow,write rw:1:r0,1,0
JSON.ARRTRIM -2 module,write slow,write rw:1:r0,1,0
JSON.CLEAR -2 module,write slow,write rw:1:r0,1,0
JSON.DEL -2 module,write slow,write rw:1:r0,1,0
JSON.FORGET -2 module,write slow,write rw:1:r0,1,0
JSON.GET -2 module,readonly read,slow r:1:r0,1,0
JSON.MERGE -2 denyoom,module,write slow,write rw:1:r0,1,0
JSON.MGET -3 module,readonly read,slow r:1:r-2,1,0
JSON.MSET -4 denyoom,module,write slow,write w:1:r-1,3,0
JSON.NUMINCRBY -2 module,write slow,write rw:1:r0,1,0
JSON.NUMMULTBY -2 module,write slow,write rw:1:r0,1,0
JSON.NUMPOWBY -2 module,write slow,write rw:1:r0,1,0
JSON.OBJKEYS -2 module,readonly read,slow r:1:r0,1,0
JSON.OBJLEN -2 module,readonly read,slow r:1:r0,1,0
JSON.RESP -2 module,readonly read,slow r:1:r0,1,0
JSON.SET -2 denyoom,module,write slow,write w:1:r0,1,0
JSON.STRAPPEND -2 denyoom,module,write slow,write rw:1:r0,1,0
JSON.STRLEN -2 module,readonly read,slow r:1:r0,1,0
JSON.TOGGLE -2 denyoom,module,write slow,write rw:1:r0,1,0
JSON.TYPE -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.ADD -2 denyoom,module,write slow,write rw:1:r0,1,0
TDIGEST.BYRANK -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.BYREVRANK -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.CDF -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.CREATE -2 denyoom,module,write slow,write rw:1:r0,1,0
TDIGEST.INFO -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.MAX -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.MERGE -4 denyoom,module,write slow,write w:1:r0,1,0 r:2:n0,1,1
TDIGEST.MIN -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.QUANTILE -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.RANK -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.RESET -2 denyoom,module,write slow,write rw:1:r0,1,0
TDIGEST.REVRANK -2 module,readonly read,slow r:1:r0,1,0
TDIGEST.TRIMMED_MEAN -2 module,readonly read,slow r:1:r0,1,0
TOPK.ADD -2 denyoom,module,write slow,write rw:1:r0,1,0
TOPK.COUNT -2 module,write slow,write rw:1:r0,1,0
TOPK.INCRBY -2 denyoom,module,write slow,write rw:1:r0,1,0
TOPK.INFO -2 module,readonly read,slow r:1:r0,1,0
TOPK.LIST -2 module,readonly read,slow r:1:r0,1,0
TOPK.QUERY -2 module,readonly read,slow r:1:r0,1,0
TOPK.RESERVE -2 denyoom,module,write slow,write rw:1:r0,1,0
VADD -2 denyoom,module,write slow,write rw:1:r0,1,0
VCARD -2 fast,module,readonly fast,read r:1:r0,1,0
VDIM -2 fast,module,readonly fast,read r:1:r0,1,0
VEMB -2 fast,module,readonly fast,read r:1:r0,1,0
VGETATTR -2 fast,module,readonly fast,read r:1:r0,1,0
VINFO -2 fast,module,readonly fast,read r:1:r0,1,0
VISMEMBER -2 module,readonly read,slow r:1:r0,1,0
VLINKS -2 fast,module,readonly fast,read r:1:r0,1,0
VRANDMEMBER -2 module,readonly read,slow r:1:r0,1,0
VREM -2 module,write slow,write rw:1:r0,1,0
VSETATTR -2 fast,module,write fast,write rw:1:r0,1,0
VSIM -2 module,readonly read,slow r:1:r0,1,0
XACKDEL -6 fast,write fast,stream,write w:1:r0,1,0
XDELEX -5 fast,write fast,stream,write w:1:r0,1,0
"""
