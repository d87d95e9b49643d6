"""The Lua scripts of the Redis store: each is one indivisible step.

Under the prefix, which is their one declared key:

=====================  ===========  ==============================================================
``entry:NAME``         hash         value, version, made (its first version) and about (a subject)
``log:NAME``           list         the items of a log
``about:SUBJECT``      set          a subject's names, each as ``entry:NAME`` or ``log:NAME``
``kind:KIND``          sorted set   names of entries by `made`, for listing
``expiring``           sorted set   names in the two sets above that will expire, by time
``version``            string       the last version that was given
=====================  ===========  ==============================================================

Redis itself removes expired entries and logs. Their names stay in the sets until a commit sweeps
them or a listing finds them.
"""

PREFIX = "{parley}:"

SWEEP = 16
"""The most expired names that a commit removes: more than it adds."""

PAGE_SCANS = 8
"""The most rounds in which a page is filled if names have expired; each reads as many as are
wanted."""

_SHARED = """
local prefix = KEYS[1]

-- Names and subjects contain no NUL: the gateway makes them from ids and fixed words.
local function ticket(what, subject, kind) return what .. '\\0' .. subject .. '\\0' .. kind end

-- Remove the name `what` from its subject.
local function disown(what, subject, kind)
  redis.call('ZREM', prefix .. 'expiring', ticket(what, subject, kind))
  if subject ~= '' then redis.call('SREM', prefix .. 'about:' .. subject, what) end
end

-- Remove the name `what` from all sets. Logs have no kind and are not listed.
local function forget(what, subject, kind)
  disown(what, subject, kind)
  if kind ~= '' then redis.call('ZREM', prefix .. 'kind:' .. kind, string.sub(what, 7)) end
end

-- Set the lifetime of `what`; an empty one has no end.
local function live(what, subject, kind, ttl_ms, now_ms)
  if ttl_ms == '' then
    redis.call('PERSIST', prefix .. what)
    redis.call('ZREM', prefix .. 'expiring', ticket(what, subject, kind))
  else
    redis.call('PEXPIRE', prefix .. what, ttl_ms)
    redis.call('ZADD', prefix .. 'expiring', now_ms + ttl_ms, ticket(what, subject, kind))
  end
end

local function kind_of(name) return string.match(name, '^[^:]*') end
local function subject_of(name) return string.match(name, '^[^:]*:([^:]*)') or '' end
"""

COMMIT = (
    _SHARED
    + f"local sweep = {SWEEP}"
    + """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- Versions grow with the clock, so that none is given twice if Redis has lost its latest writes,
-- after a failover or a start from an old copy.
local function next_version()
  local last = tonumber(redis.call('GET', prefix .. 'version') or 0)
  local version = string.format('%.0f', math.max(last + 1, time[1] * 1e6 + time[2]))
  redis.call('SET', prefix .. 'version', version)
  return version
end

-- A script that has begun to write is not rolled back, so everything is checked first.
for at = 1, #ARGV, 7 do
  if ARGV[at] == 'put' then
    local found = redis.call('HGET', prefix .. 'entry:' .. ARGV[at + 1], 'version') or ''
    if found ~= ARGV[at + 3] then return {'conflict', (at + 6) / 7, found} end
  end
end

local done = {'done'}
for at = 1, #ARGV, 7 do
  local name, value, ttl_ms, subject = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4], ARGV[at + 6]
  local number = 0
  if ARGV[at] == 'put' then
    local what, kind = 'entry:' .. name, ARGV[at + 5]
    number = next_version()
    if ARGV[at + 3] == '' then
      redis.call('HSET', prefix .. what, 'made', number)
      redis.call('ZADD', prefix .. 'kind:' .. kind, number, name)
    else
      local before = redis.call('HGET', prefix .. what, 'about')
      if before ~= subject then disown(what, before, kind) end
    end
    redis.call('HSET', prefix .. what, 'value', value, 'version', number, 'about', subject)
    if subject ~= '' then redis.call('SADD', prefix .. 'about:' .. subject, what) end
    live(what, subject, kind, ttl_ms, now_ms)
  elseif ARGV[at] == 'append' then
    local what = 'log:' .. name
    number = redis.call('RPUSH', prefix .. what, value)
    if subject ~= '' then redis.call('SADD', prefix .. 'about:' .. subject, what) end
    live(what, subject, '', ttl_ms, now_ms)
  else
    local entry, log = 'entry:' .. name, 'log:' .. name
    local about = redis.call('HGET', prefix .. entry, 'about')
    if about then live(entry, about, kind_of(name), ttl_ms, now_ms) end
    if redis.call('EXISTS', prefix .. log) == 1 then
      live(log, subject_of(name), '', ttl_ms, now_ms)
    end
  end
  done[#done + 1] = number
end

for _, gone in ipairs(redis.call(
  'ZRANGEBYSCORE', prefix .. 'expiring', '-inf', now_ms, 'LIMIT', 0, sweep)) do
  local what, subject, kind = string.match(gone, '^(%Z*)%z(%Z*)%z(%Z*)$')
  local left_ms = redis.call('PTTL', prefix .. what)
  if left_ms == -2 then
    forget(what, subject, kind)
  elseif kind ~= '' and redis.call('HGET', prefix .. what, 'about') ~= subject then
    disown(what, subject, kind) -- it had expired, and was made again about another subject
  elseif left_ms == -1 then
    redis.call('ZREM', prefix .. 'expiring', gone)
  else
    redis.call('ZADD', prefix .. 'expiring', now_ms + left_ms + 1, gone)
  end
end
return done
"""
)

DELETE = (
    _SHARED
    + """
local name, kind, subject = ARGV[1], ARGV[2], ARGV[3]
local about = redis.call('HGET', prefix .. 'entry:' .. name, 'about')
if about then
  redis.call('DEL', prefix .. 'entry:' .. name)
  forget('entry:' .. name, about, kind)
end
redis.call('DEL', prefix .. 'log:' .. name)
forget('log:' .. name, subject, '')
"""
)

PAGE = (
    _SHARED
    + f"local scans = {PAGE_SCANS}"
    + """
local listed = prefix .. 'kind:' .. ARGV[1]
local limit, before = tonumber(ARGV[2]), ARGV[3]
local page, found = {''}, 0
for _ = 1, scans do
  local names = redis.call(
    'ZRANGE', listed, before, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit + 1, 'WITHSCORES')
  for at = 1, #names, 2 do
    if found == limit then
      page[1] = string.sub(before, 2)
      return page
    end
    before = '(' .. string.format('%.0f', names[at + 1])
    local entry = redis.call('HMGET', prefix .. 'entry:' .. names[at], 'value', 'version')
    if entry[2] then
      found = found + 1
      page[#page + 1], page[#page + 2], page[#page + 3] = names[at], entry[1], entry[2]
    else
      redis.call('ZREM', listed, names[at])
    end
  end
  if #names <= limit * 2 then return page end
end
page[1] = string.sub(before, 2)
return page
"""
)

SINCE = (
    _SHARED
    + """
local listed = prefix .. 'kind:' .. ARGV[1]
local names = redis.call(
  'ZRANGE', listed, '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local page = {''}
for at = 1, #names, 2 do
  page[1] = string.format('%.0f', names[at + 1])
  local entry = redis.call('HMGET', prefix .. 'entry:' .. names[at], 'value', 'version')
  if entry[2] then
    page[#page + 1], page[#page + 2], page[#page + 3] = names[at], entry[1], entry[2]
  else
    redis.call('ZREM', listed, names[at])
  end
end
return page
"""
)

ERASE = (
    _SHARED
    + """
local erased, subject = 0, ARGV[1]
for _, what in ipairs(redis.call('SMEMBERS', prefix .. 'about:' .. subject)) do
  local kind, about = '', subject
  if string.sub(what, 1, 6) == 'entry:' then
    kind = kind_of(string.sub(what, 7))
    about = redis.call('HGET', prefix .. what, 'about') or subject
  end
  if about == subject then
    erased = erased + redis.call('DEL', prefix .. what)
    forget(what, subject, kind)
  else
    disown(what, subject, kind) -- it had expired, and was made again about another subject
  end
end
return erased
"""
)
