-- Part of commit.lua: what moments of sessions come to.
--
-- A session has been alive at some moments. Its time is the sum of the gaps between them, each up to the
-- timeout. It is kept as the spans between whose moments no gap is longer than that: late moments then count
-- as if they had come in order, and a moment that comes twice adds nothing.
--
-- hash        session ID -> '<start>,<end>,<first>,<last>,<first>,<last>...:<event ID>', in milliseconds;
--             start and end are empty where they are not known
-- sorted set  of the sessions that have not ended, by when they were last updated, in milliseconds
-- sorted set  of those that have ended, likewise

local MOST_SPANS = 32   -- kept of a session; the oldest are then taken for one
local MOST_DROPS = 1000  -- sessions dropped in one call

-- The stored sessions of one group. now, timeout and expire_after are in milliseconds; most is how many
-- are kept. Where timeout or most is 0 there is no limit.
local function Sessions(hash, open, ended, now, timeout, expire_after, most)
    local self, loaded, changed = {}, {}, {}
    timeout = timeout > 0 and timeout or math.huge
    for _, key in ipairs({open, ended}) do
        redis.call('ZCARD', key)  -- something else under it is to be noticed before anything is written
    end
    redis.call('HLEN', hash)

    local function parse(value)
        local words, event = value:match('^([^:]*):(.*)$')
        local numbers = {}
        for word in (words .. ','):gmatch('([^,]*),') do
            numbers[#numbers + 1] = tonumber(word) or false
        end
        return {event = event, start = numbers[1], stop = numbers[2], spans = {unpack(numbers, 3)}}
    end

    local function format(session)
        local words = {}
        for i, number in ipairs({session.start, session.stop, unpack(session.spans)}) do
            words[i] = number and string.format('%.0f', number) or ''
        end
        return table.concat(words, ',') .. ':' .. session.event
    end

    local function duration(spans)
        local sum = 0
        for i = 1, #spans, 2 do
            -- A gap may be shorter than the timeout, if that was shorter when the spans were stored.
            local gap = i > 1 and math.min(spans[i] - spans[i - 1], timeout) or 0
            sum = sum + gap + spans[i + 1] - spans[i]
        end
        return sum
    end

    -- The spans with one more moment.
    local function with(spans, moment)
        local result, first, last = {}, moment, moment
        for i = 1, #spans, 2 do
            if spans[i + 1] + timeout < first then
                result[#result + 1], result[#result + 2] = spans[i], spans[i + 1]
            elseif spans[i] - timeout > last then
                result[#result + 1], result[#result + 2] = first, last
                first, last = spans[i], spans[i + 1]
            else
                first, last = math.min(first, spans[i]), math.max(last, spans[i + 1])
            end
        end
        result[#result + 1], result[#result + 2] = first, last
        return result
    end

    -- Returns by how many milliseconds the session has become longer.
    local function add(session, moment)
        if session.stop and (moment > session.stop or session.start and moment < session.start) then
            return 0
        end
        local spans = with(session.spans, moment)
        local added = duration(spans) - duration(session.spans)
        if #session.spans == 0 then
            added = 0
        end
        if #spans > 2 * MOST_SPANS then
            table.remove(spans, 2)
            table.remove(spans, 2)
        end
        session.spans = spans
        return added
    end

    -- The session of that ID, or nil.
    local function find(id)
        if loaded[id] == nil then
            local seen = redis.call('ZSCORE', open, id) or redis.call('ZSCORE', ended, id)
            local value = seen and tonumber(seen) > now - expire_after and redis.call('HGET', hash, id)
            loaded[id] = value and parse(value) or false
        end
        return loaded[id] or nil
    end

    -- Takes note of an action, start, heartbeat or end, of a session at a moment.
    -- Returns whether the session is new, and by how many milliseconds it has become longer.
    local function update(id, event, action, moment)
        local session = find(id)
        local is_new = not session
        if is_new then
            session = {event = event, start = false, stop = false, spans = {}, is_new = true}
            loaded[id] = session
        end
        if action == 'start' then
            if session.start then
                return false, 0
            elseif not session.stop or moment <= session.stop then
                session.start = moment
            end
        elseif action == 'end' then
            session.stop = session.stop or moment
        end
        changed[id] = true
        return is_new, add(session, moment)
    end

    -- Forgets up to `n` sessions that were last updated at `before` or earlier, the longest idle ones first.
    local function drop(before, n)
        while n > 0 do
            local oldest
            for _, key in ipairs({open, ended}) do
                local id, seen = unpack(redis.call('ZRANGEBYSCORE', key, '-inf', before, 'WITHSCORES', 'LIMIT', 0, 1))
                if id and (not oldest or tonumber(seen) < oldest.seen) then
                    oldest = {key = key, id = id, seen = tonumber(seen)}
                end
            end
            if not oldest then
                return
            end
            redis.call('ZREM', oldest.key, oldest.id)
            redis.call('HDEL', hash, oldest.id)
            n = n - 1
        end
    end

    -- Takes note of actions, which are words[first] to words[last]: session ID, number of its event, action and
    -- moment each. Events come after the first `before_events` words.
    -- Returns what they add to the events of these numbers, the time of each being that of the next one; and
    -- a list of session ID, event ID for sessions that belong to other events.
    function self.act(words, before_events, first, last)
        local sums, others = {}, {}
        for i = first, last, 4 do
            local id, event, action, moment = words[i], tonumber(words[i + 1]), words[i + 2], tonumber(words[i + 3])
            local name = event > 0 and words[before_events + event] or nil
            local session = find(id)
            if session and session.event ~= name then
                others[#others + 1], others[#others + 2] = id, session.event
            elseif event > 0 then
                local is_new, added = update(id, name, action, moment)
                sums[event] = (sums[event] or 0) + (is_new and 1 or 0)
                sums[event + 1] = (sums[event + 1] or 0) + added
            end
        end
        return sums, others
    end

    function self.store()
        local has_new = false
        for id in pairs(changed) do
            local session = loaded[id]
            redis.call('HSET', hash, id, format(session))
            if session.is_new or session.stop then
                redis.call('ZREM', session.stop and open or ended, id)
            end
            redis.call('ZADD', session.stop and ended or open, now, id)
            has_new = has_new or session.is_new
        end
        if has_new then  -- else nothing takes up more room
            drop(now - expire_after, MOST_DROPS)
            if most > 0 then
                drop('+inf', math.min(MOST_DROPS, redis.call('HLEN', hash) - most))
            end
        end
        for _, key in ipairs({hash, open, ended}) do
            redis.call('PEXPIRE', key, expire_after)  -- when none of them is updated any more
        end
    end

    return self
end

-- A batch as count() takes it, with the sums that sessions add to its events, by their numbers. An event
-- that has neither a count nor a sum is left out.
local function with_sums(keys, first, words, at, sums)
    local n_events = tonumber(words[at])
    local numbers, names, counts = {}, {}, {}
    for i = 1, n_events do
        local n = words[at + n_events + i]
        if n ~= '' or (sums[i] or 0) > 0 then
            numbers[#numbers + 1] = i
            names[#names + 1] = words[at + i]
            counts[#counts + 1] = n ~= '' and n or string.format('%.0f', sums[i])
        end
    end
    local some_words = {#numbers}
    for _, list in ipairs({names, counts}) do
        for _, word in ipairs(list) do
            some_words[#some_words + 1] = word
        end
    end
    local before_lengths = at + 2 * n_events + 1
    for i = before_lengths, before_lengths + tonumber(words[before_lengths]) do
        some_words[#some_words + 1] = words[i]
    end
    return keys_of(keys, first, n_events, numbers), 1, some_words, 1
end
