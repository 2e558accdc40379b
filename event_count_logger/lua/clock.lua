-- Part of the scripts that need the time.

-- Returns the given time in Unix milliseconds, or the server's if that is ''.
local function milliseconds(given)
    if given ~= '' then
        return tonumber(given)
    end
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Returns Unix milliseconds as the Unix seconds that keys hold: '1700000010' or '1700000010.250'.
local function seconds(ms)
    return string.format(ms % 1000 == 0 and '%d' or '%.3f', ms / 1000)
end
