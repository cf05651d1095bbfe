// Asks and inserts through clickhouse-go over HTTP, the way Grafana's plugin and the OpenTelemetry
// Collector's exporter do.
//
//	port ask ADDRESS USER KEY COMPRESSION < queries, one a line
//	port insert ADDRESS USER KEY COMPRESSION ROWS
//
// Prints one line of JSON for each query.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

type answer struct {
	Columns []string `json:"columns"`
	Types   []string `json:"types"`
	Count   int      `json:"count"`
	First   []string `json:"first"`
	Code    int32    `json:"code"`
	Error   string   `json:"error"`
}

var methods = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone, "gzip": clickhouse.CompressionGZIP,
	"deflate": clickhouse.CompressionDeflate, "lz4": clickhouse.CompressionLZ4,
	"zstd": clickhouse.CompressionZSTD,
}

func options() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{os.Args[2]},
		Auth:        clickhouse.Auth{Database: "otel", Username: os.Args[3], Password: os.Args[4]},
		Compression: &clickhouse.Compression{Method: methods[os.Args[5]]},
		Settings:    clickhouse.Settings{"max_execution_time": 60},
		DialTimeout: 10 * time.Second,
		ReadTimeout: 60 * time.Second,
		ClientInfo: clickhouse.ClientInfo{Products: []struct {
			Name    string
			Version string
		}{{Name: "clew-interop", Version: "1"}}},
	}
}

func failed(result *answer, err error) {
	result.Error = err.Error()
	var exception *clickhouse.Exception
	if ok := as(err, &exception); ok {
		result.Code = exception.Code
	}
}

func as(err error, target **clickhouse.Exception) bool {
	for err != nil {
		if exception, ok := err.(*clickhouse.Exception); ok {
			*target = exception
			return true
		}
		unwrapper, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = unwrapper.Unwrap()
	}
	return false
}

func ask() {
	db := clickhouse.OpenDB(options())
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	print := json.NewEncoder(os.Stdout)
	ping := answer{}
	if err := db.PingContext(ctx); err != nil {
		failed(&ping, err)
	}
	_ = print.Encode(ping)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		result := answer{}
		rows, err := db.QueryContext(ctx, lines.Text())
		if err != nil {
			failed(&result, err)
			_ = print.Encode(result)
			continue
		}
		result.Columns, _ = rows.Columns()
		types, _ := rows.ColumnTypes()
		for _, each := range types {
			result.Types = append(result.Types, each.DatabaseTypeName())
		}
		for rows.Next() {
			result.Count++
			if result.First == nil {
				values := make([]any, len(result.Columns))
				pointers := make([]any, len(result.Columns))
				for i := range values {
					pointers[i] = &values[i]
				}
				if err := rows.Scan(pointers...); err != nil {
					failed(&result, err)
				}
				for _, value := range values {
					result.First = append(result.First, fmt.Sprint(value))
				}
			}
		}
		if err := rows.Err(); err != nil {
			failed(&result, err)
		}
		_ = print.Encode(result)
	}
}

func insert() {
	conn, err := clickhouse.Open(options())
	if err != nil {
		panic(err)
	}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 1, "wait_for_async_insert": 1,
	}))
	rows, _ := strconv.Atoi(os.Args[6])
	result := answer{}
	batch, err := conn.PrepareBatch(ctx, `INSERT INTO "otel"."otel_traces" (Timestamp, TraceId, SpanId, ParentSpanId,
		SpanName, SpanKind, ServiceName, ResourceAttributes, SpanAttributes, Duration, StatusCode,
		Events.Timestamp, Events.Name, Events.Attributes, Links.TraceId, Links.SpanId, Links.TraceState,
		Links.Attributes)`)
	for n := 1; err == nil && n <= rows; n++ {
		err = batch.Append(time.Now(), fmt.Sprintf("%031x%s", n, "a"), fmt.Sprintf("%016x", n), "",
			"GET /", "Server", "go-"+os.Args[5], map[string]string{"service.version": "3"},
			map[string]string{"n": strconv.Itoa(n)}, uint64(1000), "Ok",
			[]time.Time{time.Unix(1, 5)}, []string{"event"}, []map[string]string{{"k": "v"}},
			[]string{"t"}, []string{"s"}, []string{""}, []map[string]string{{"l": "w"}})
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		failed(&result, err)
	} else {
		result.Count = rows
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

func main() {
	if os.Args[1] == "insert" {
		insert()
	} else {
		ask()
	}
}
