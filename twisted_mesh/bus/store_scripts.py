"""The scripts of the configuration store that write: one each for what must happen as a whole or not at all.

What they share stands in `COMMON`.  The first write of each is a SET, which a Redis that is out of memory refuses: so
that it refuses the whole, and nothing is half written.
"""

from __future__ import annotations

COMMON = r"""
local K = {
  version = KEYS[1], epoch = KEYS[2], resources = KEYS[3], changed = KEYS[4], history = KEYS[5], versions = KEYS[6],
  canary = KEYS[7], traffic = KEYS[8], seen = KEYS[9], offer = KEYS[10], wanted = KEYS[11],
  records = KEYS[12], leases = KEYS[13],
}
local CHANNEL = ARGV[1]

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function current() return tonumber(redis.call('GET', K.version) or '0') or 0 end
local function epoch() return redis.call('GET', K.epoch) or '' end
local function first_of(life) return tonumber(string.match(life, '^(%d+)%-') or '0') end
local function text(number) return string.format('%.0f', number) end

-- A text of JSON that may be anything, as a table.
local function table_of(json)
  local ok, found = pcall(cjson.decode, json or '')
  return ok and type(found) == 'table' and found or {}
end

-- The open canary and its text; what somebody else wrote in its place is none.
local function open_canary()
  local json = redis.call('GET', K.canary)
  local found = table_of(json)
  for _, each in ipairs({'version', 'share', 'bound', 'margin', 'least_calls', 'at'}) do
    if type(found[each]) ~= 'number' then return nil, '' end
  end
  return found, json
end

-- Whether who has `version` of the life `theirs` would have to go back to take what is here.
local function ahead(theirs, version)
  if version <= 0 then return false end
  local mine = epoch()
  if theirs == mine then return version > current() end
  return mine == '' or version >= first_of(mine)
end

-- The version of a sidecar that is ahead of the store, and which; 0 if there is none.
local function seen()
  local found = redis.call('GET', K.seen)
  if not found then return 0, '' end
  local version, theirs, node = string.match(found, '^(%d+) (%S*) (.*)$')
  if not version or not ahead(theirs, tonumber(version)) then return 0, '' end
  return tonumber(version), node
end

-- The head and the rest of a record.
local function split(record)
  local at = string.find(record, '\n', 1, true)
  if not at then return {}, record end
  return table_of(string.sub(record, 1, at - 1)), string.sub(record, at + 1)
end

local function trim()
  local limit = tonumber(redis.call('HGET', K.history, 'limit') or '100') or 100
  for _ = 1, 16 do
    if redis.call('LLEN', K.versions) <= limit then return end
    local old = redis.call('LPOP', K.versions)
    local entry = table_of(redis.call('HGET', K.history, old))
    for _, name in ipairs(entry.names or {}) do
      redis.call('HDEL', K.history, old .. ' ' .. name)
      -- That it was deleted is remembered for as long as the version that did it.
      if redis.call('ZSCORE', K.changed, name) == old and redis.call('HEXISTS', K.resources, name) == 0 then
        redis.call('ZREM', K.changed, name)
      end
    end
    redis.call('HDEL', K.history, old, 'token ' .. (entry.token or ''))
    redis.call('HSET', K.history, 'floor', old)
  end
end

-- Writes {name, rest of the record or false, its head if it keeps one} of each as one new version, and tells it.
-- With `above`, a version, it begins a new life of the store above that version.
local function commit(todo, entry, above)
  local version = math.max(current(), above or 0) + 1
  local life, at = epoch(), now()
  redis.call('SET', K.version, text(version))
  if life == '' or above then
    life = text(version) .. '-' .. entry.token
    redis.call('SET', K.epoch, life)
  end
  local head = cjson.encode({version = version, author = entry.author, reason = entry.reason, at = at})
  local names = {}
  for _, each in ipairs(todo) do
    local name, rest = each[1], each[2]
    names[#names + 1] = name
    redis.call('HSET', K.history, text(version) .. ' ' .. name, redis.call('HGET', K.resources, name) or '')
    if rest then
      redis.call('HSET', K.resources, name, (each[3] or head) .. '\n' .. rest)
    else
      redis.call('HDEL', K.resources, name)
    end
    redis.call('ZADD', K.changed, text(version), name)
  end
  entry.version, entry.at, entry.names = version, at, #names > 0 and names or nil
  redis.call('HSET', K.history, text(version), cjson.encode(entry), 'token ' .. entry.token, text(version))
  redis.call('RPUSH', K.versions, text(version))
  trim()
  redis.call('PUBLISH', CHANNEL, cjson.encode({epoch = life, version = version}))
  return version
end

-- What a canary holds leaves with it.
local function end_of_trial(todo, canary)
  for _, name in ipairs(canary.names or {}) do
    todo[#todo + 1] = {'~' .. name, false}
  end
end

local function forget_canary()
  redis.call('DEL', K.canary, K.traffic)
end

local function withdraw(canary, author, reason, token)
  local todo = {}
  end_of_trial(todo, canary)
  local version = commit(todo, {
    kind = 'rollback', author = author, reason = reason, token = token, canary = canary.version,
  })
  forget_canary()
  return version
end

-- Whether one can go back to a version.
local function is_kept(kept, to)
  if to == tonumber(redis.call('HGET', K.history, 'floor') or '0') then return true end
  for _, each in ipairs(kept) do
    if tonumber(each) == to then return true end
  end
  return false
end

local function entry_of(version) return table_of(redis.call('HGET', K.history, version)) end

-- What was under each name that changed since a version: the names, and the records by name ('' for none).
local function undone(kept, to)
  local names, target = {}, {}
  for at = #kept, 1, -1 do
    if tonumber(kept[at]) <= to then break end
    for _, name in ipairs(entry_of(kept[at]).names or {}) do
      if string.sub(name, 1, 1) ~= '~' then
        if target[name] == nil then names[#names + 1] = name end
        target[name] = redis.call('HGET', K.history, kept[at] .. ' ' .. name) or ''
      end
    end
  end
  return names, target
end

-- Ends the leases that have run out, so many at most.
local function sweep(at, most)
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', K.leases, '-inf', text(at), 'LIMIT', 0, most)) do
    redis.call('ZREM', K.leases, node)
    redis.call('HDEL', K.records, node)
  end
end

-- What was written under this token already, as the reply to it was lost.
local function done_before(token)
  local version = redis.call('HGET', K.history, 'token ' .. token)
  return version and tonumber(version)
end
"""

# ARGV: channel, token, author, reason, force, canary, then for each resource: name, version seen ('' for any),
# rest of the record ('' to delete).
APPLY = (
    COMMON
    + r"""
local token, author, reason, force, trial = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local before = done_before(token)
if before then return {'done', before} end
local high, node = seen()
if high > 0 and not force then return {'behind', current(), high, node} end
local canary, json = open_canary()
if canary and trial ~= '' then return {'canary', json} end

local todo, names, clashes = {}, {}, {}
for at = 7, #ARGV, 3 do
  local name, expected, rest = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local record = redis.call('HGET', K.resources, name)
  local head, present = {}, ''
  if record then head, present = split(record) end
  local version = tonumber(head.version) or 0
  if present ~= rest then
    local clash
    if redis.call('HEXISTS', K.resources, '~' .. name) == 1 and canary then
      clash = {version = canary.version, author = canary.author, reason = canary.reason, at = canary.at, canary = true}
    elseif expected ~= '' and tonumber(expected) ~= version then
      local last = redis.call('ZSCORE', K.changed, name)
      clash = record and head or table_of(redis.call('HGET', K.history, last or ''))
      clash = {version = clash.version, author = clash.author, reason = clash.reason, at = clash.at}
      clash.deleted = not record
    end
    if clash then
      clash.name, clash.seen = name, tonumber(expected) or 0
      clashes[#clashes + 1] = clash
    elseif trial ~= '' then
      todo[#todo + 1] = {'~' .. name, rest == '' and '\n' or rest}
    else
      todo[#todo + 1] = {name, rest ~= '' and rest}
    end
    names[#names + 1] = name
  end
end
if #clashes > 0 then return {'conflict', cjson.encode(clashes)} end
if #todo == 0 then return {'same', current()} end
local entry = {kind = 'apply', author = author, reason = reason, token = token}
local above = high > 0 and high or nil
if trial == '' then return {'written', commit(todo, entry, above)} end
canary = cjson.decode(trial)
entry.kind, entry.share = 'canary', canary.share
local version = commit(todo, entry, above)
canary.version, canary.names, canary.author, canary.reason, canary.at = version, names, author, reason, entry.at
redis.call('SET', K.canary, cjson.encode(canary))
redis.call('DEL', K.traffic)
return {'written', version}
"""
)

# ARGV: channel, token, author, reason, the canary's version ('' for any).
PROMOTE = (
    COMMON
    + r"""
local before = done_before(ARGV[2])
if before then return {'done', before} end
local high, node = seen()
if high > 0 then return {'behind', current(), high, node} end
local canary, json = open_canary()
if not canary or (ARGV[5] ~= '' and tonumber(ARGV[5]) ~= canary.version) then return {'none', json} end
local todo = {}
for _, name in ipairs(canary.names or {}) do
  local _, rest = split(redis.call('HGET', K.resources, '~' .. name) or '\n\n')
  todo[#todo + 1] = {name, rest ~= '\n' and rest}
end
end_of_trial(todo, canary)
local version = commit(todo, {
  kind = 'promote', author = ARGV[3], reason = ARGV[4], token = ARGV[2], canary = canary.version,
})
forget_canary()
return {'written', version}
"""
)

# ARGV: channel, token, author, reason, the version to go back to ('' for the canary's end, else the one before).
ROLLBACK = (
    COMMON
    + r"""
local token, author, reason, to = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local before = done_before(token)
if before then return {'done', before} end
local high, node = seen()
if high > 0 then return {'behind', current(), high, node} end
local canary = open_canary()
if canary and not to then return {'written', withdraw(canary, author, reason, token)} end

local kept = redis.call('LRANGE', K.versions, 0, -1)
-- The version before the last that changed anything for all.
for at = #kept, 1, -1 do
  if to then break end
  for _, name in ipairs(entry_of(kept[at]).names or {}) do
    if string.sub(name, 1, 1) ~= '~' then
      to = tonumber(kept[at - 1] or redis.call('HGET', K.history, 'floor') or '0')
    end
  end
end
if not to then return {'nothing', current()} end
if not is_kept(kept, to) then return {'unknown', kept[1] or '0', current()} end

local names, target = undone(kept, to)
local todo = {}
for _, name in ipairs(names) do
  local _, rest = split(target[name])
  local _, present = split(redis.call('HGET', K.resources, name) or '')
  if rest ~= present then todo[#todo + 1] = {name, rest ~= '' and rest} end
end
if canary then end_of_trial(todo, canary) end
if #todo == 0 then return {'same', current()} end
local version = commit(todo, {
  kind = 'rollback', author = author, reason = reason, token = token, to = to, canary = canary and canary.version,
})
if canary then forget_canary() end
return {'written', version}
"""
)
