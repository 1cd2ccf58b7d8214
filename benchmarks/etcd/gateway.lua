-- wrk -s etcd_gateway.lua URL -- BODY
-- The same request again and again: what etcd's gateway does if the client costs next to nothing.

function init(arguments)
    wrk.method, wrk.body = "POST", arguments[1]
    wrk.headers["Grpc-Metadata-hasleader"] = "true"
end

function done(summary)
    io.write(string.format('{"per_s":%.1f,"refusals":%d}\n', summary.requests * 1e6 / summary.duration, summary.errors.status))
end
