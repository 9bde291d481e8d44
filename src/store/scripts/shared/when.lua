-- when(entry): the account's time of a booking. A booking written by hand has only Redis' clock, in
-- its id.

local function when(e) return tonumber(e[2][4] or '') or tonumber(e[1]:match('^%d+')) end
