// Two spans, a log record and five metrics by one way: send http-protobuf|grpc URL
// Prints the ids as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func exporters(ctx context.Context, way, url string) (sdktrace.SpanExporter, sdklog.Exporter, sdkmetric.Exporter) {
	if way == "grpc" {
		return must(otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(url))),
			must(otlploggrpc.New(ctx, otlploggrpc.WithEndpointURL(url))),
			must(otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(url)))
	}
	return must(otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(url+"/v1/traces"))),
		must(otlploghttp.New(ctx, otlploghttp.WithEndpointURL(url+"/v1/logs"))),
		must(otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(url+"/v1/metrics")))
}

func main() {
	ctx := context.Background()
	way, url := os.Args[1], os.Args[2]
	spans, logs, metrics := exporters(ctx, way, url)
	res := resource.NewSchemaless(
		attribute.String("service.name", "go-"+way),
		attribute.String("service.version", "1.2"),
		attribute.String("deployment.environment.name", "test"),
		attribute.StringSlice("process.command_args", []string{"send", "it"}),
	)
	tracing := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(res))
	logging := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(logs)), sdklog.WithResource(res))
	metering := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics, sdkmetric.WithInterval(time.Hour))),
		sdkmetric.WithResource(res),
		sdkmetric.WithView(sdkmetric.NewView(
			sdkmetric.Instrument{Name: "pay.size"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}},
		)),
	)

	attributes := []attribute.KeyValue{
		attribute.String("text", "ü 😀"), attribute.Bool("yes", true), attribute.Int64("int", 9007199254740991),
		attribute.Float64("double", 0.5), attribute.StringSlice("list", []string{"a", "b"}), attribute.IntSlice("ints", []int{1, 2}),
	}
	began := time.Unix(time.Now().Unix(), 123456789)
	tracer := tracing.Tracer("a.library", trace.WithInstrumentationVersion("1.0"))
	ctx, root := tracer.Start(ctx, "POST /pay", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(began), trace.WithAttributes(attributes...))
	_, child := tracer.Start(ctx, "charge", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(began.Add(1000)),
		trace.WithLinks(trace.Link{SpanContext: root.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("why", "test")}}))
	child.AddEvent("tried", trace.WithTimestamp(began.Add(2000)), trace.WithAttributes(attribute.Int("attempt", 2)))
	child.SetStatus(codes.Error, "declined")
	child.End(trace.WithTimestamp(began.Add(3000)))
	root.End(trace.WithTimestamp(began.Add(1_000_001)))

	var record log.Record
	record.SetTimestamp(began)
	record.SetSeverity(log.SeverityError)
	record.SetSeverityText("ERROR")
	record.SetEventName("order.failed")
	record.SetBody(attribute.MapValue(attribute.Slice("said",
		attribute.StringValue("no"), attribute.Value{}, attribute.Float64Value(1.5), attribute.MapValue(attribute.Bool("deep", true)))))
	record.AddAttributes(attributes...)
	record.AddAttributes(attribute.ByteSlice("bytes", []byte{0, 255, 16}),
		attribute.Map("map", attribute.Int("b", 1), attribute.Slice("a", attribute.StringValue("x"))))
	logging.Logger("a.logger", log.WithInstrumentationVersion("2.0")).Emit(ctx, record)

	meter := metering.Meter("a.meter", metric.WithInstrumentationVersion("3.0"))
	method := metric.WithAttributes(attribute.String("method", "card"))
	must(meter.Int64Counter("payments", metric.WithDescription("how many"), metric.WithUnit("1"))).Add(ctx, 3, method)
	must(meter.Int64UpDownCounter("carts")).Add(ctx, -2)
	must(meter.Float64Histogram("pay.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.1, 1))).Record(ctx, 0.3, method)
	must(meter.Float64Histogram("pay.size")).Record(ctx, 4)
	must(meter.Float64ObservableGauge("stock", metric.WithFloat64Callback(func(_ context.Context, observer metric.Float64Observer) error {
		observer.Observe(7.5, metric.WithAttributes(attribute.String("sku", "s-1")))
		return nil
	})))

	for _, shutdown := range []func(context.Context) error{tracing.Shutdown, logging.Shutdown, metering.Shutdown} {
		if err := shutdown(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ids := func(span trace.Span) map[string]string {
		return map[string]string{"trace": span.SpanContext().TraceID().String(), "span": span.SpanContext().SpanID().String()}
	}
	printed := must(json.Marshal(map[string]any{"root": ids(root), "child": ids(child), "began": began.Unix()}))
	fmt.Println(string(printed))
}
