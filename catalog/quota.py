"""When may the next call to a model leave, over all workers together?

One limiter in Redis per pool, project and model. A caller takes the next free slot and sleeps until
exactly then; at that moment :meth:`Quota.leave` looks once more, because a refusal may have come
meanwhile. Every step is one script on Redis's clock.

- **Pace.** Calls leave one interval apart, so that no window of whatever kind sees more than its
  share at its edges. Tokens have a pace of their own; of both the later slot counts.
- **Learning.** Without a limit the pace doubles until the platform refuses, and runs no further
  ahead than calls follow it. A refusal sets it to just below what was let in lately; from there it
  rises along a cubic curve: flat near the limit that was found, then faster and faster, so that a
  raised limit is found as well. A configured limit is a ceiling: one that is too high is found out
  in the same way. Where far fewer calls leave than might, a refusal says nothing about the pace,
  unless many are refused.
- **Spend** is a window of ten minutes, in buckets: what was spent stays in it from its call's end.
- **Calls in flight** have no limit until the platform says that it is overloaded: then it is just
  below what was open at that moment, and rises with every answer.
- **Urgent** calls take a slot of their own at once and push the others back by one: four of five
  slots at most, so that the others go on.

What is lost with Redis is learnt again from a careful start, or from what the store remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AwareDatetime, Field

from catalog.connection import translated
from catalog.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import redis

    from catalog.quota_limits import QuotaLimits

OPEN_TTL_S: Final = 45.0
"""A call of which nobody says for so long that it is open counts as ended."""

_SEARCH: Final = """
local START, DOUBLING_S, MOST, LEAST = 10, 2, 2000, 1 / 60
local DIP, PLATEAU_S = 0.03, 30
local WINDOW_S, SHORT_S = 60, 10
local QUICK_CUT, CAREFUL, CLOSE = 0.9, 0.985, 0.99
local STRAY_S, STRAY_LEAST, STRAY_MOST = 10, 0.02, 0.12
local RECENT_S, HEADROOM, FLOOR = 5, 2.5, 30
local SLACK, FORGET_S = 0.35, 120
local PROVEN_S, REPLY_S = 2.5, 0.3
local PROVEN_LEAST, LONG_PROVEN_S, CROWDED = 12, 30, 0.2
local TOLD_S = 240
local MARGIN, TOKENS_MARGIN, KEPT = 0.999, 0.98, 0.8
local URGENT_SHARE = 0.8
"""
"""``START`` is where the search for an unknown limit begins, in calls per second. ``DIP`` is how
far below what was let in the pace begins again, ``PLATEAU_S`` how long it takes to come back there;
twice that is past it by ``DIP``. ``MARGIN`` is what jitter needs: 0.06 s in a minute's window;
tokens need more, since calls that left evenly do not end so. Few calls refused, again and again
within ``FORGET_S``, are no matter of pace: it goes back to what it was when the last refusal was
``STRAY_S`` ago. ``HEADROOM`` bounds the search by what left in the last ``RECENT_S`` (or
``FLOOR``); below a share ``SLACK`` of the pace nobody uses it. ``CROWDED`` is the share of refusals
from which on the first bound of the calls in flight is believed. Below a share ``KEPT`` of it a
counted minute is no measure any more. Found by trying on a virtual clock
(``tests/integration/test_quota.py``)."""

_COMMON: Final = (
    _SEARCH
    + """
local state, open, allowed, spent, levels = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local limit = tonumber(ARGV[2]) / 60
local limit_tokens = tonumber(ARGV[3]) / 60
local limit_spend = tonumber(ARGV[4])
local limit_day = tonumber(ARGV[5])
local limit_open = tonumber(ARGV[6])
local S = {}
local raw = redis.call('HGETALL', state)
for i = 1, #raw, 2 do S[raw[i]] = raw[i + 1] end
local function num(name) return tonumber(S[name] or '0') end
local function put(name, value)
  if type(value) == 'number' then value = string.format('%.6f', value) end
  S[name] = value
  redis.call('HSET', state, name, value)
end
local fresh_lane = not S.begun
if fresh_lane then put('begun', now) end

local function ceiling()
  local told = now - num('told_at') < TOLD_S and num('told') or 0
  if limit > 0 and told > 0 then return math.min(limit, told) end
  return limit > 0 and limit or told
end

local function let_in(seconds)
  local count, first = 0, math.floor(now - seconds)
  local seen = redis.call('HGETALL', allowed)
  for i = 1, #seen, 2 do
    local second = tonumber(seen[i])
    if second > first then count = count + tonumber(seen[i + 1]) end
    if second < now - WINDOW_S - 5 then redis.call('HDEL', allowed, seen[i]) end
  end
  return count
end

-- The same of the last minute, with its share of the second in which that begins.
local function in_a_minute()
  local first = math.floor(now - WINDOW_S)
  local edge = tonumber(redis.call('HGET', allowed, first) or '0')
  return let_in(WINDOW_S) + edge * (first + 1 - (now - WINDOW_S))
end

-- Calls per second that left lately.
local function recent()
  return let_in(RECENT_S) / math.max(1, math.min(RECENT_S, now - num('begun')))
end

local function pace()
  local top = ceiling()
  local found
  if S.found then
    local x = (math.max(0, now - num('cut_at')) - PLATEAU_S) / PLATEAU_S
    found = num('found') * (1 + DIP * x * x * x)
  elseif top > 0 then
    found = top
  else
    -- As long as it is used: a pace that nobody goes at is no find.
    found = START * 2 ^ math.min(60, (now - num('begun')) / DOUBLING_S)
    found = math.min(found, math.max(FLOOR, recent() * HEADROOM))
  end
  if top > 0 then found = math.min(found, top * MARGIN) end
  return math.max(math.min(found, MOST), LEAST)
end

local function most_open()
  local most = num('most_open')
  if limit_open > 0 and most > 0 then return math.min(limit_open, most) end
  return limit_open > 0 and limit_open or most
end

local function now_open()
  redis.call('ZREMRANGEBYSCORE', open, '-inf', string.format('%.6f', now))
  return redis.call('ZCARD', open)
end

-- Seconds until the window of ten minutes has room for so much more; 0 if it has.
local function spend_wait(micro)
  if limit_spend <= 0 then return 0 end
  local cells, sum = {}, 0
  local raw_spent = redis.call('HGETALL', spent)
  for i = 1, #raw_spent, 2 do
    local cell = tonumber(raw_spent[i])
    if (cell + 1) * 5 <= now - 600 then
      redis.call('HDEL', spent, raw_spent[i])
    else
      cells[#cells + 1] = {cell, tonumber(raw_spent[i + 1])}
      sum = sum + tonumber(raw_spent[i + 1])
    end
  end
  if sum + micro <= limit_spend then return 0 end
  table.sort(cells, function(a, b) return a[1] < b[1] end)
  for _, cell in ipairs(cells) do
    sum = sum - cell[2]
    if sum + micro <= limit_spend then return math.max(0.05, (cell[1] + 1) * 5 + 600 - now) end
  end
  return 600
end

local function book_spend(micro)
  if micro ~= 0 then redis.call('HINCRBY', spent, math.floor(now / 5), micro) end
end
"""
)

_TAKE: Final = (
    _COMMON
    + """
local tokens, urgent = tonumber(ARGV[7]), ARGV[8] == '1'
local not_before, most_s = tonumber(ARGV[9]), tonumber(ARGV[10])
local day = ARGV[11]
if fresh_lane and ARGV[12] == '0' then
  redis.call('DEL', state)
  return {'unknown', '0', '0'}
end
if limit_day > 0 and S.day == day and num('day_calls') >= limit_day then
  return {'day', '0', '0'}
end
local interval = 1 / pace()
local earliest = math.max(now, now + not_before, num('hold_until'))
local ordinary, slot = math.max(earliest, num('next')), 0
local by_tokens = tokens > 0 and limit_tokens > 0 and num('next_tokens') or 0
-- Before others, where there are others; alone it is one of them.
urgent = urgent and math.max(earliest, num('urgent_next')) < math.max(ordinary, by_tokens)
slot = urgent and math.max(earliest, num('urgent_next')) or math.max(ordinary, by_tokens)
if slot - now > most_s then
  -- Its message waits: each of those that are sent away comes back at a time of its own.
  local back = math.max(slot, num('next_later'))
  put('next_later', back + interval)
  return {'later', string.format('%.6f', back - now), '0'}
end
if urgent then
  put('urgent_next', slot + interval / URGENT_SHARE)
  put('next', math.max(num('next'), now) + interval)
else
  put('next', ordinary + interval)
end
if tokens > 0 then put('tokens', S.tokens and num('tokens') * 0.99 + tokens * 0.01 or tokens) end
if tokens > 0 and limit_tokens > 0 then
  put('next_tokens',
    math.max(num('next_tokens'), now) + tokens / (limit_tokens * TOKENS_MARGIN))
end
redis.call('EXPIRE', state, 604800)
return {'slot', string.format('%.6f', slot - now), tostring(math.floor(num('cuts')))}
"""
)

_LEAVE: Final = (
    _COMMON
    + """
local ticket, micro, day, ttl = ARGV[7], tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local tokens = tonumber(ARGV[12])
local hold = num('hold_until')
-- Whoever takes another slot takes its tokens anew.
local function again(seconds)
  if tokens > 0 and limit_tokens > 0 then
    put('next_tokens', num('next_tokens') - tokens / (limit_tokens * TOKENS_MARGIN))
  end
  return {'again', string.format('%.6f', seconds), '0'}
end
-- Its slot was taken at a pace that was found to be too fast, and its tokens were given back.
if tonumber(ARGV[11]) ~= math.floor(num('cuts')) then return {'again', '0', '0'} end
if hold > now then return again(hold - now) end
-- Where a minute was counted, none is to have more: a window that slides makes room at the pace at
-- which calls left a minute ago, and that was not always the same.
local minute = num('minute')
if minute > 0 and in_a_minute() >= math.max(minute, pace() * WINDOW_S) then return again(0) end
local wait = spend_wait(micro)
if wait > 0 then return again(wait) end
local most = most_open()
if most > 0 and now_open() >= most then
  -- One looks again for every call that is expected to end, and a few more.
  local each = math.max(0.02, num('call_s')) / most / 1.25
  local back = math.max(now, num('next_look')) + each
  put('next_look', back)
  return {'again', string.format('%.6f', back - now), '1'}
end
if limit_day > 0 then
  if S.day ~= day then put('day', day) put('day_calls', '0') end
  if num('day_calls') >= limit_day then return {'day', '0', '0'} end
  redis.call('HINCRBY', state, 'day_calls', 1)
end
redis.call('ZADD', open, string.format('%.6f', now + ttl), ticket)
redis.call('EXPIRE', open, 86400)
redis.call('HINCRBY', allowed, math.floor(now), 1)
redis.call('EXPIRE', allowed, 600)
redis.call('ZADD', levels, string.format('%.6f', now), ticket .. '|' .. redis.call('ZCARD', open))
redis.call('ZREMRANGEBYSCORE', levels, '-inf', now - LONG_PROVEN_S)
redis.call('EXPIRE', levels, 60)
book_spend(micro)
redis.call('EXPIRE', spent, 1200)
redis.call('HINCRBY', state, 'since_refusal', 1)
redis.call('HINCRBY', state, 'left', 1)
return {'go', '0', string.format('%.6f', now)}
"""
)

_END: Final = (
    _COMMON
    + """
local ticket, answered = ARGV[7], ARGV[8] == '1'
local tokens_off, micro_taken, micro = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local left_at, lasted = tonumber(ARGV[12]), 0
local was_open = now_open()
redis.call('ZREM', open, ticket)
if limit_tokens > 0 and tokens_off ~= 0 and S.next_tokens then
  put('next_tokens', num('next_tokens') + tokens_off / limit_tokens)
end
if limit_spend > 0 then
  -- What it came to counts from now on; what was set aside for it is given back.
  if micro_taken ~= 0 then
    redis.call('HINCRBY', spent, math.floor(left_at / 5), -micro_taken)
  end
  book_spend(micro)
end
if answered then
  lasted = now - left_at
  put('call_s', S.call_s and num('call_s') * 0.95 + lasted * 0.05 or lasted)
  put('answered_at', now)
  put('refusals', '0')
  redis.call('HINCRBY', state, 'answered', 1)
  local most = num('most_open')
  if most > 0 and was_open >= most - 1 and now >= num('no_growth_until') then
    local growth = 0.01 + 0.04 * math.max(0, now - num('no_growth_until'))
    put('most_open', math.min(4096, most + math.min(0.5, growth)))
  end
end
return 1
"""
)

_REFUSED: Final = (
    _COMMON
    + """
local ticket, kind, retry_s, told = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local seen_cuts, left_at, micro_taken = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
redis.call('ZREM', open, ticket)
redis.call('HINCRBY', allowed, math.floor(left_at), -1)
if limit_day > 0 and num('day_calls') > 0 then redis.call('HINCRBY', state, 'day_calls', -1) end
if limit_spend > 0 and micro_taken ~= 0 then
  redis.call('HINCRBY', spent, math.floor(left_at / 5), -micro_taken)
end
redis.call('HINCRBY', state, 'refused', 1)
put('since_refusal', tostring(math.max(0, num('since_refusal') - 1)))
local lives = S.answered_at and now - num('answered_at') < 60 or now_open() > 0
-- Others are answered, and as many are open as there may be: one more was too many.
local crowded = lives and num('most_open') > 0 and now_open() >= 2
  and now_open() + 2 >= num('most_open')
local fresh = seen_cuts == math.floor(num('cuts'))
local cut = 0

local function hold(seconds)
  put('hold_until', math.max(num('hold_until'), now + seconds))
  -- Whoever has a slot at the old pace takes another one.
  put('next', num('hold_until'))
  put('urgent_next', num('hold_until'))
end

-- Every slot that is taken now is taken anew, and its tokens with it.
local function lapse()
  put('cuts', tostring(math.floor(num('cuts')) + 1))
  if limit_tokens > 0 then put('next_tokens', math.max(now, num('hold_until'))) end
end

-- How many calls were open, lately, when one more was let in; and how many tell so.
local function proven()
  local most = 0
  local few = redis.call('ZRANGEBYSCORE', levels, now - PROVEN_S, now - REPLY_S)
  if #few < PROVEN_LEAST then
    few = redis.call('ZREVRANGEBYSCORE', levels, now - REPLY_S, now - LONG_PROVEN_S,
      'LIMIT', 0, PROVEN_LEAST)
  end
  for _, member in ipairs(few) do
    local of, level = string.match(member, '^(.*)|(%d+)$')
    if of ~= ticket then most = math.max(most, tonumber(level)) end
  end
  return most, #few
end

local function forget_level()
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', levels, left_at - 0.001, left_at + 0.001)) do
    if string.sub(member, 1, #ticket + 1) == ticket .. '|' then
      redis.call('ZREM', levels, member)
    end
  end
end

-- Whether the limit that we know is right: then it was jitter, or calls of before we knew it.
local function is_known(passed)
  local top, minute = ceiling(), let_in(WINDOW_S)
  if top > 0 and minute > top * WINDOW_S * 0.95 and passed > 2 * SHORT_S then return true end
  if now == num('told_at') then return true end
  return limit_tokens > 0 and minute * num('tokens') / WINDOW_S > limit_tokens * 0.8
end

-- The pace to go on with, from what was let in; and whether the whole minute told it.
local function slower(before, passed, admitted, retry_s)
  local minute, since = in_a_minute(), now - num('begun')
  if passed > 2 * SHORT_S and minute >= 5 and since > WINDOW_S then
    return (minute - 1) / WINDOW_S * CLOSE, true
  elseif retry_s >= 2 and minute >= 5 and passed > SHORT_S and since + retry_s > WINDOW_S - 10 then
    return minute / WINDOW_S
  elseif not S.found then
    return let_in(SHORT_S) / math.max(1, math.min(SHORT_S, since))
  elseif admitted >= 8 and passed >= 0.3 then
    return admitted / passed * CAREFUL
  end
  return before * QUICK_CUT
end

forget_level()
-- How many were refused in about the last second; each second forgets half.
local storm = num('storm') * 0.5 ^ math.min(60, now - num('storm_at')) + 1
put('storm', storm)
put('storm_at', now)
if kind == 'capacity' or kind == 'unclear' then
  -- What is open now was let in: that many can be open. As many were just now, and one more: then
  -- it is no matter of their number, unless more and more are refused.
  local level, told_by = proven()
  local is_proof = told_by >= PROVEN_LEAST and level <= now_open()
  -- While nothing is known yet, what is open grows: each refusal comes where most are open.
  put('left_lately', num('left_lately') * 0.7 + math.max(0, num('left') - num('left_before') - 1))
  put('crowded_lately', num('crowded_lately') * 0.7 + 1)
  put('left_before', num('left'))
  local crowded_share = num('crowded_lately') / (num('crowded_lately') + num('left_lately'))
  is_proof = is_proof and (num('most_open') > 0 or crowded_share > CROWDED)
  if fresh and (is_proof or storm > 2 + let_in(2) / 4) then
    local most = math.max(1, now_open() * 0.98)
    if num('most_open') > 0 then most = math.min(most, num('most_open')) end
    put('most_open', most)
    put('no_growth_until', now + math.min(2, num('call_s') / 4))
    put('next_look', math.max(now, num('next_look')) + 2 * math.max(0.02, num('call_s')) / most)
    lapse()
    cut = 1
  end
  if kind == 'capacity' and not lives then hold(math.max(retry_s, 1)) end
  if retry_s > 0 then hold(retry_s) end
end

if kind == 'rate' or (kind == 'unclear' and num('most_open') <= 1) then
  -- A limit that a refusal names is believed where it is what was let in: some name any number.
  local lately = let_in(WINDOW_S)
  if told > 0 and now - num('begun') > WINDOW_S and lately >= math.max(50, told * 0.9)
    and lately <= told * 1.1 + 12 then
    put('told', told / 60)
    put('told_at', now)
    -- When it is no longer believed, the search goes on from there.
    put('found', told / 60 / (1 - DIP))
    put('cut_at', now + TOLD_S)
  end
  local streak = num('refusals')
  -- What left before others were refused says nothing new.
  local late = left_at <= num('held_at')
  if retry_s < 0 then
    if not late then hold(math.min(30, 0.5 * 2 ^ streak)) end
  else
    -- Once it has been wrong a few times, what it says is the least.
    hold(streak < 3 and retry_s or math.max(retry_s, math.min(30, 0.1 * 2 ^ streak)))
  end
  if not late then
    put('refusals', tostring(math.floor(streak) + 1))
    put('held_at', now)
  end
  put('refused_since', num('refused_since') + 1)
  if fresh then
    -- Not counting the time in which nobody could leave.
    local before, passed = pace(), now - math.max(num('resumed_at'), num('begun'))
    local admitted = num('since_refusal')
    if passed > STRAY_S then
      if passed > FORGET_S then
        put('let_in_lately', '0')
        put('refused_lately', '0')
      end
      -- A pace that nobody went at is no measure.
      put('pace_before', math.min(before, 1.5 * math.max(let_in(2) / 2, let_in(SHORT_S) / SHORT_S)))
    end
    put('let_in_lately', num('let_in_lately') * 0.7 + admitted)
    put('refused_lately', num('refused_lately') * 0.7 + num('refused_since'))
    put('refused_since', '0')
    local share = num('refused_lately') / (num('refused_lately') + num('let_in_lately'))
    local is_weak = num('refused_lately') <= 2.2 or share < STRAY_MOST
    -- Not counting holds, where that can be told.
    local gone_at = recent()
    if admitted >= 5 then gone_at = math.max(gone_at, admitted / math.max(passed, 0.2)) end
    if gone_at < SLACK * before and is_weak then
      -- Far fewer left than might have: one refusal says nothing about the pace.
    elseif num('refused_lately') > 2.2 and share > STRAY_LEAST and share < STRAY_MOST then
      -- A pace that is too fast is refused far more often, or no more once it is lowered.
      if S.found then
        put('found', math.max(num('found'), num('pace_before') / (1 - DIP)) * 1.05)
      end
    elseif admitted > 0 and not is_known(passed) then
      local to, counted = slower(before, passed, admitted, retry_s)
      put('found', math.max(math.min(to, before), LEAST) / (1 - DIP))
      -- Another cut soon after says little of that minute, unless it goes far below.
      if counted then
        put('minute', to * WINDOW_S)
      elseif to * WINDOW_S < KEPT * num('minute') then
        put('minute', '0')
      end
      put('cut_at', math.max(now, num('hold_until')))
      cut = 1
    end
    put('resumed_at', math.max(now, num('hold_until')))
    if admitted > 0 then
      put('since_refusal', '0')
      lapse()
    end
  end
end
return {cut, crowded and 1 or 0}
"""
)

_RENEW: Final = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', string.format('%.6f', now + tonumber(ARGV[1])), ARGV[i])
end
return 1
"""

_SEED: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
redis.call('HSET', KEYS[1], 'begun', string.format('%.6f', now))
if tonumber(ARGV[1]) > 0 then
  redis.call('HSET', KEYS[1], 'found', ARGV[1], 'cut_at', string.format('%.6f', now), 'cuts', '1')
end
if tonumber(ARGV[2]) > 0 then redis.call('HSET', KEYS[1], 'most_open', ARGV[2]) end
return 1
"""


class Refusal(StrEnum):
    """What kind of limit a platform's refusal speaks of."""

    RATE = "rate"
    """Calls, pictures, tokens or money per minute or so."""
    CAPACITY = "capacity"
    """Too many calls are open for what the platform has at the moment."""
    UNCLEAR = "unclear"
    """It says neither: no quota is named, and no time to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Who shares a limit: a pool (``developer``, ``vertex`` ...), a project and a model."""

    pool: str
    project: str
    model: str

    @property
    def name(self) -> str:
        """The lane's name in Redis."""
        return f"{self.pool}:{self.project}:{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When to leave, in seconds from now.

    ``later``: the wait is longer than the caller would; it has a place of its own at that time.
    ``day``: the day's calls are used up. ``unknown``: Redis knows nothing of the lane, and somebody
    else might (:meth:`Quota.seed`).
    """

    wait_s: float
    later: bool = False
    day: bool = False
    unknown: bool = False
    cuts: int = 0
    """How often the pace had been lowered when it was taken."""
    tokens: int = 0
    """What the call is expected to use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Whether a call may leave now: ``go``, or else when to take another slot."""

    go: bool
    wait_s: float = 0.0
    full: bool = False
    """As many calls are open as may be."""
    day: bool = False
    left_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What followed from a refusal: ``cut``, the pace or the calls in flight were lowered.

    ``crowded``: others are answered, and as many were open as there may be: no outage, and no fault
    of this call's.
    """

    cut: bool
    crowded: bool


class Learnt(Wire):
    """What was found out about a lane, as the store remembers it."""

    pool: str
    project: str
    model: str
    calls_per_minute: Annotated[float, Field(ge=0)]
    """0: no limit was found."""
    calls_in_flight: Annotated[float, Field(ge=0)]
    at: AwareDatetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a lane stands now. 0 where nothing is known."""

    lane: Lane
    found_per_minute: float
    told_per_minute: float
    most_open: float
    open: int
    hold_s: float
    let_in_last_minute: int
    answered: int
    refused: int
    call_s: float


class Quota:
    """The limiter of all workers on one Redis; ``clock`` replaces Redis's in a test."""

    def __init__(self, client: redis.Redis, *, clock: Any = None) -> None:
        self._redis: Any = client
        self._clock = clock
        self._scripts: dict[str, Any] = {}

    def take(
        self,
        lane: Lane,
        limits: QuotaLimits,
        *,
        tokens: int,
        urgent: bool,
        most_s: float,
        day: str,
        not_before_s: float = 0.0,
        begin: bool = True,
    ) -> Slot:
        """Take the next slot of a lane.

        ``tokens`` is what the call is expected to use; ``day`` names the platform's day. Without
        ``begin`` a lane that Redis does not know gives no slot.
        """
        facts = [tokens, int(urgent), not_before_s, most_s, day, int(begin)]
        said, wait_s, cuts = self._run(_TAKE, lane, limits, facts)
        return Slot(
            wait_s=float(wait_s),
            later=said == "later",
            day=said == "day",
            unknown=said == "unknown",
            cuts=int(cuts),
            tokens=tokens,
        )

    def leave(
        self, lane: Lane, limits: QuotaLimits, ticket: str, slot: Slot, *, micro_usd: int, day: str
    ) -> Left:
        """Ask, at its slot's time, whether a call may leave; ``go`` counts it as open."""
        facts = [ticket, micro_usd, day, OPEN_TTL_S, slot.cuts, slot.tokens]
        said, number, more = self._run(_LEAVE, lane, limits, facts)
        if said == "go":
            return Left(go=True, left_at=float(more))
        return Left(go=False, wait_s=float(number), full=more == "1", day=said == "day")

    def end(
        self,
        lane: Lane,
        limits: QuotaLimits,
        ticket: str,
        *,
        left_at: float,
        answered: bool,
        tokens_off: int,
        micro_taken: int,
        micro_usd: int,
    ) -> None:
        """A call has ended. ``tokens_off`` is how many more it used than were expected."""
        facts = [ticket, int(answered), tokens_off, micro_taken, micro_usd, repr(left_at)]
        self._run(_END, lane, limits, facts)

    def refused(
        self,
        lane: Lane,
        limits: QuotaLimits,
        ticket: str,
        slot: Slot,
        left: Left,
        *,
        kind: Refusal,
        retry_after_s: float | None,
        told_per_minute: int | None,
        micro_taken: int,
    ) -> Judged:
        """The platform refused a call; nobody leaves before ``retry_after_s`` is over."""
        facts = [
            ticket,
            kind.value,
            -1 if retry_after_s is None else retry_after_s,
            told_per_minute or 0,
            slot.cuts,
            repr(left.left_at),
            micro_taken,
        ]
        cut, crowded = self._run(_REFUSED, lane, limits, facts)
        return Judged(cut=bool(cut), crowded=bool(crowded))

    def renew(self, lane: Lane, tickets: Collection[str]) -> None:
        """Say that these calls are still open."""
        with translated():
            self._script(_RENEW)(keys=[f"{_key(lane)}:open"], args=[OPEN_TTL_S, *tickets])

    def seed(self, learnt: Learnt) -> bool:
        """Begin with what the store remembers, where Redis knows nothing; says whether it did."""
        lane = Lane(pool=learnt.pool, project=learnt.project, model=learnt.model)
        facts = [learnt.calls_per_minute / 60, learnt.calls_in_flight]
        with translated():
            return bool(self._script(_SEED)(keys=[_key(lane)], args=facts))

    def lanes(self) -> Iterator[Lane]:
        """Every lane that Redis knows of."""
        with translated():
            found = [str(key) for key in self._redis.scan_iter(match=f"{_PREFIX}*", _type="hash")]
        for key in sorted(found):
            parts = key.removeprefix(_PREFIX).split(":")
            if len(parts) == len(Lane.__dataclass_fields__):
                yield Lane(pool=parts[0], project=parts[1], model=parts[2])

    def standing(self, lane: Lane) -> Standing:
        """How a lane stands now."""
        key = _key(lane)
        with translated():
            seconds, micros = self._redis.time()
            now = seconds + micros / 1e6
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(key)
            pipe.zcount(f"{key}:open", now, "+inf")
            pipe.hgetall(f"{key}:allowed")
            state, still_open, allowed = pipe.execute()
        return Standing(
            lane=lane,
            found_per_minute=60 * float(state.get("found", 0)),
            told_per_minute=60 * float(state.get("told", 0)),
            most_open=float(state.get("most_open", 0)),
            open=int(still_open),
            hold_s=max(0.0, float(state.get("hold_until", 0)) - now),
            let_in_last_minute=sum(
                int(count) for second, count in allowed.items() if int(second) > now - 60
            ),
            answered=int(state.get("answered", 0)),
            refused=int(state.get("refused", 0)),
            call_s=float(state.get("call_s", 0)),
        )

    def _run(self, script: str, lane: Lane, limits: QuotaLimits, args: list[Any]) -> Any:
        key = _key(lane)
        names = [key, f"{key}:open", f"{key}:allowed", f"{key}:spent", f"{key}:levels"]
        facts = [
            repr(self._clock()) if self._clock else 0,
            limits.requests_per_minute or 0,
            limits.tokens_per_minute or 0,
            limits.spend_micro_per_10_minutes or 0,
            limits.requests_per_day or 0,
            limits.calls_in_flight or 0,
        ]
        with translated():
            return self._script(script)(keys=names, args=[*facts, *args])

    def _script(self, script: str) -> Any:
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(script)
        return self._scripts[script]


_PREFIX: Final = "skuscene:quota:"


def _key(lane: Lane) -> str:
    return f"{_PREFIX}{lane.name}"
