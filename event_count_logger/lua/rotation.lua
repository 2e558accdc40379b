-- Part of rotate.lua and rotate_hash.lua: when an interval ends, and what is done besides.

--!include clock

-- Notes that a master takes care of an interval that may not have finished yet: how many have is then 0, not missing.
local function take(finished)
    redis.pcall('SETNX', finished, '0')
end

-- Looks whether the running interval is over; if there is none, or it began in the future, it begins anew.
-- Returns its start, the latest boundary, and what is to be answered unless it is to be rotated.
local function look(cur_ts, last_ts, start_then, length, now)
    local boundary = now - now % length
    local until_next = boundary + length - now
    local start = redis.call('GET', cur_ts)
    local start_ms = start and math.floor((tonumber(start) or 0) * 1000 + 0.5)
    local answer
    if (start or '') ~= start_then then
        answer = {'changed', now, 0}
    elseif not start then
        redis.call('SET', cur_ts, seconds(boundary))
        answer = {'started', now, until_next}
    elseif start_ms > now + length then
        redis.call('DEL', last_ts)
        redis.call('SET', cur_ts, seconds(boundary))
        answer = {'restarted', now, until_next}
    elseif start_ms >= boundary then
        answer = {'waiting', now, start_ms + length - now}
    end
    return start, boundary, answer
end

-- The keys that hold something else than they should.
local obstacles = {}

-- For what is besides: a key of another type in the way must not keep counts from being rotated.
local function try(command, key, ...)
    local answer = redis.pcall(command, key, ...)
    if type(answer) == 'table' and answer.err then
        obstacles[#obstacles + 1] = key
        return nil
    end
    return answer
end

-- Notes an interval in the history; `words` is what XADD takes before the ID. Returns the ID, or nil.
local function note(words, boundary, number, entry)
    local at = #words + 1
    words[at] = string.format('%.0f-%d', boundary, number)
    for i, word in ipairs(entry) do
        words[at + i] = word
    end
    local id = redis.pcall('XADD', unpack(words))
    if type(id) == 'table' then
        words[at] = '*'  -- the clock was ahead when the last one was noted: IDs only grow
        id = try('XADD', unpack(words))
    end
    return id
end
