-- Part of the scripts that begin intervals: where their boundaries are.

-- Returns the latest boundary by `now`, and the length of the interval, both in milliseconds. The word is '<length>'; or
-- '<length>+<offset>' for an interval whose boundaries are not multiples of its length, such as one in weeks.
local function boundary_of(word, now)
    local length, offset = tonumber(word), 0
    if not length then
        length, offset = string.match(word, '^(%d+)%+(%d+)$')
        length, offset = tonumber(length), tonumber(offset)
    end
    return now - (now - offset) % length, length
end
