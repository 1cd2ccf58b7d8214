-- wrk -s load.lua URL -- IDS_FILE PERCENT_PUT PATH_BEFORE_ID [PATH_AFTER_ID]
-- Requests for fruits picked at random; so many of a hundred are changes. Prints one line of JSON.

local ids, percent_put, before_id, after_id = {}, 0, "", ""
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = os.getenv("WRK_AUTHORIZATION") }
local threads = {}
local sent = 0

puts_sent = 0 -- global, so that done() can get it from the thread

function setup(thread)
    table.insert(threads, thread)
end

function init(arguments)
    for id in io.lines(arguments[1]) do
        table.insert(ids, id)
    end
    percent_put, before_id, after_id = tonumber(arguments[2]), arguments[3], arguments[4] or ""
    math.randomseed(os.time())
end

function request()
    local path = before_id .. ids[math.random(#ids)] .. after_id
    sent = sent + 1
    -- Spread evenly: with 50 every second request is a change.
    if sent * percent_put % 100 < percent_put then
        puts_sent = puts_sent + 1
        return wrk.format("PUT", path, headers, '{"color":"blue"}')
    end
    return wrk.format("GET", path, headers)
end

function done(summary, latency, requests)
    local errors, puts = summary.errors, 0
    for _, thread in ipairs(threads) do
        puts = puts + thread:get("puts_sent")
    end
    io.write(string.format(
        '{"duration_s":%.6f,"answers":%d,"refusals":%d,"failures":%d,"puts_sent":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
        summary.duration / 1e6, summary.requests, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout,
        puts, latency:percentile(50) / 1000, latency:percentile(99) / 1000
    ))
end
