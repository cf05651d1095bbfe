package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/contrib/processors/baggagecopy"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/log/global"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// startTelemetry sets up traces, metrics and logs as the variables OTEL_* say, and returns a
// function that sends what is still in memory. slog's default logger then sends to clew.
func startTelemetry(ctx context.Context) (func(context.Context) error, error) {
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithProcessPID(), resource.WithService(), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	spans, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, err
	}
	points, err := autoexport.NewMetricReader(ctx)
	if err != nil {
		return nil, err
	}
	records, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return nil, err
	}

	// Spans and log records carry the business transaction that the caller began.
	business := func(member baggage.Member) bool { return strings.HasPrefix(member.Key(), "business.") }
	traces := trace.NewTracerProvider(trace.WithResource(about), trace.WithBatcher(spans),
		trace.WithSpanProcessor(baggagecopy.NewSpanProcessor(business)))
	metrics := metric.NewMeterProvider(metric.WithResource(about), metric.WithReader(points))
	logs := log.NewLoggerProvider(log.WithResource(about),
		log.WithProcessor(baggagecopy.NewLogProcessor(business)),
		log.WithProcessor(log.NewBatchProcessor(records)))
	otel.SetTracerProvider(traces)
	otel.SetMeterProvider(metrics)
	global.SetLoggerProvider(logs)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
		propagation.TraceContext{}, propagation.Baggage{}))
	slog.SetDefault(otelslog.NewLogger("stock"))

	shutdown := func(ctx context.Context) error {
		return errors.Join(traces.Shutdown(ctx), metrics.Shutdown(ctx), logs.Shutdown(ctx))
	}
	return shutdown, runtime.Start()
}
