-- Part of the scripts that go by the clock.

-- The time in Unix milliseconds: the one that is given, or the server's if that is ''.
local function milliseconds(given)
    if given ~= '' then
        return tonumber(given)
    end
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Unix seconds as they are stored.
local function seconds(ms)
    return string.format(ms % 1000 == 0 and '%d' or '%.3f', ms / 1000)
end
