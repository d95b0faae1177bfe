-- A session is a list: its rows, oldest first, and as the last element its head; the format of that element stands in
-- redis.py. Each of these is one atomic step on one key. A script is not undone, so it looks at everything before it
-- writes anything.

-- name: element
local NEVER = '\0\0\0\0\0\0\0\0'

-- Gives the seq of the next row, if this element is a head of ours.
local function following(element)
    if #element < 16 then return nil end
    local seq = struct.unpack('>I8', element)
    if seq > 4294967295 then return nil end
    return seq
end

-- name: swap
-- ARGV: the head expected, the head, due (eight bytes; empty: as it is), the moment to expire at in milliseconds
-- (0: never; empty: as it is), trim from, trim to, the seq of the first of a run of rows, how many these are, their
-- bodies, and then seq and body of each row before them. Gives nothing, or the head that stands.
local key, last = KEYS[1], redis.call('LINDEX', KEYS[1], '-1')
local trim, trim_end, start, count = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local upcoming, due, held = 0, NEVER, 0
if last then
    upcoming = following(last)
    if not upcoming then return last end
    local stands = string.sub(last, 17)
    if stands ~= ARGV[1] then return stands end
    due = string.sub(last, 9, 16)
    -- How many rows there are is all the same to new ones that follow upon the newest, where none goes.
    if start ~= upcoming or trim < trim_end or #ARGV > 8 + count then held = redis.call('LLEN', key) - 1 end
elseif ARGV[1] ~= '' then
    return ''
end
if ARGV[3] ~= '' then due = ARGV[3] end

local first, dropped = upcoming - held, 0
if trim < trim_end and first < trim_end and held > 0 then
    if trim > first then return redis.error_reply('GAP in the middle') end
    dropped = math.min(trim_end - first, held)
end

local replaced = 0
if count > 0 then
    local lowest = start
    for place = 9 + count, #ARGV, 2 do
        lowest = math.min(lowest, tonumber(ARGV[place]))
    end
    if held == dropped then
        if lowest < start then return redis.error_reply('GAP between rows') end
        upcoming = start
    elseif lowest < first + dropped or start > upcoming then
        return redis.error_reply('GAP beside the rows')
    end
    replaced = math.min(count, upcoming - start)
end

if dropped > 0 then redis.call('LTRIM', key, dropped, -1) end
for place = 9 + count, #ARGV, 2 do
    redis.call('LSET', key, tonumber(ARGV[place]) - upcoming - 1, ARGV[place + 1])
end
for place = 0, replaced - 1 do
    redis.call('LSET', key, start + place - upcoming - 1, ARGV[9 + place])
end
-- What is new comes in place of the old head, and after it, the head last.
local from, to = 9 + replaced, 9 + count
ARGV[to] = struct.pack('>I8', upcoming + to - from) .. due .. ARGV[2]
if last then
    redis.call('LSET', key, '-1', ARGV[from])
    from = from + 1
end
while from <= to do
    local upto = math.min(from + 999, to)
    redis.call('RPUSH', key, unpack(ARGV, from, upto))
    from = upto + 1
end

if ARGV[4] ~= '' then
    local now = redis.call('TIME')
    -- Where the moment is past by this clock, clocks disagree: what was just written is left to the worker.
    if tonumber(ARGV[4]) > now[1] * 1000 then
        redis.call('PEXPIREAT', key, ARGV[4])
    else
        redis.call('PERSIST', key)
    end
end
return false

-- name: page
-- ARGV: how many, and the seq below which. Gives rows, oldest first, and the head's element.
local last = redis.call('LINDEX', KEYS[1], -1)
if not last then return {} end
local upcoming = following(last)
if not upcoming then return {last} end
local limit, stop = tonumber(ARGV[1]), math.min(tonumber(ARGV[2]), upcoming) - upcoming - 2
local page = limit > 0 and redis.call('LRANGE', KEYS[1], stop - limit + 1, stop) or {}
page[#page + 1] = last
return page

-- name: delete
-- ARGV: 1 if the head goes too. Gives how many rows went. What is no head is a row.
local last, rows = redis.call('LINDEX', KEYS[1], -1), redis.call('LLEN', KEYS[1])
if last and following(last) then
    rows = rows - 1
    if ARGV[1] ~= '1' then
        if rows > 0 then redis.call('LTRIM', KEYS[1], -1, -1) end
        return rows
    end
end
redis.call('DEL', KEYS[1])
return rows

-- name: stamp
-- ARGV: the deployment, the counter, the version of the format. Gives the deployment that it is of.
redis.call('HSETNX', KEYS[1], 'format', ARGV[3])
redis.call('HSETNX', KEYS[1], 'deployment', ARGV[1])
local stood = redis.call('HGET', KEYS[1], 'counter')
if not stood or tonumber(stood) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], 'counter', ARGV[2])
end
return redis.call('HGET', KEYS[1], 'deployment')

-- name: rights
-- Does all that the others do, on a key that nobody has, and takes it away again. Gives the first refusal for want of
-- rights, or nothing. A server says that in one of these words, each of its versions in its own.
local refusals = {'NOPERM', 'ACL failure in script', 'The user executing the script'}
local steps = {
    {'DEL', KEYS[1]},
    {'RPUSH', KEYS[1], ''}, {'LINDEX', KEYS[1], -1}, {'LLEN', KEYS[1]}, {'LSET', KEYS[1], 0, ''},
    {'LRANGE', KEYS[1], 0, 0}, {'LTRIM', KEYS[1], 0, 0}, {'TIME'}, {'PEXPIREAT', KEYS[1], '9007199254740991'},
    {'PERSIST', KEYS[1]}, {'DEL', KEYS[1]},
    {'HSETNX', KEYS[1], 'a', ''}, {'HSET', KEYS[1], 'a', ''}, {'HGET', KEYS[1], 'a'}, {'DEL', KEYS[1]},
}
local found = false
for place, step in ipairs(steps) do
    local reply = redis.pcall(unpack(step))
    for _, words in ipairs(refusals) do
        if type(reply) == 'table' and reply.err and string.find(reply.err, words, 1, true) then found = reply end
    end
    if found and place == 1 then return found end
end
return found

-- name: census
-- Counts the records of a list by expiry, class and hour; the last element is the head.
local counts, order = {}, {}
local rows = redis.call('LRANGE', KEYS[1], 0, -2)
for _, row in ipairs(rows) do
    if string.sub(row, 1, 4) == 'SM\1\1' then
        local clear = string.sub(row, 30, 45)
        if not counts[clear] then
            counts[clear] = 0
            order[#order + 1] = clear
        end
        counts[clear] = counts[clear] + 1
    end
end
local answer = {}
for _, clear in ipairs(order) do
    answer[#answer + 1] = clear
    answer[#answer + 1] = counts[clear]
end
return answer
