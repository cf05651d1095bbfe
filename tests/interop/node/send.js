// Two spans, a log record and five metrics by one way: node send.js http-protobuf|http-json|grpc URL
// Prints the ids as JSON.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

const [way, url] = process.argv.slice(2);
const kind = { 'http-protobuf': 'proto', 'http-json': 'http', grpc: 'grpc' }[way];
const exporter = async (signal, name, path) => {
  const made = (await import(`@opentelemetry/exporter-${signal}-otlp-${kind}`))[name];
  return new made({ url: kind === 'grpc' ? url : `${url}/v1/${path}` });
};

const resource = resourceFromAttributes({
  'service.name': `node-${way}`,
  'service.version': '1.2',
  'deployment.environment.name': 'test',
  'process.command_args': ['send', 'it'],
});
const tracing = new BasicTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(await exporter('trace', 'OTLPTraceExporter', 'traces'))],
});
const logging = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: await exporter('logs', 'OTLPLogExporter', 'logs') })],
});
const metering = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({
      exporter: await exporter('metrics', 'OTLPMetricExporter', 'metrics'),
      exportIntervalMillis: 3_600_000,
    }),
  ],
  views: [
    { instrumentName: 'pay.size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } },
  ],
});

const attributes = { text: 'ü 😀', yes: true, int: 9007199254740991, double: 0.5, list: ['a', 'b'], ints: [1, 2] };
const began = [Math.floor(Date.now() / 1000), 123456789];
const later = (nanoseconds) => [began[0], began[1] + nanoseconds];
const tracer = tracing.getTracer('a.library', '1.0');
const root = tracer.startSpan('POST /pay', { kind: SpanKind.SERVER, startTime: began, attributes }, ROOT_CONTEXT);
const context = trace.setSpan(ROOT_CONTEXT, root);
const child = tracer.startSpan(
  'charge',
  { kind: SpanKind.CLIENT, startTime: later(1000), links: [{ context: root.spanContext(), attributes: { why: 'test' } }] },
  context,
);
child.addEvent('tried', { attempt: 2 }, later(2000));
child.setStatus({ code: SpanStatusCode.ERROR, message: 'declined' });
child.end(later(3000));
root.end(later(1_000_001));

logging.getLogger('a.logger', '2.0').emit({
  timestamp: began,
  severityNumber: SeverityNumber.ERROR,
  severityText: 'ERROR',
  eventName: 'order.failed',
  body: { said: ['no', null, 1.5, { deep: true }] },
  attributes: { ...attributes, bytes: new Uint8Array([0, 255, 16]), map: { b: 1, a: ['x'] } },
  context,
});

const meter = metering.getMeter('a.meter', '3.0');
const method = { method: 'card' };
meter.createCounter('payments', { description: 'how many', unit: '1' }).add(3, method);
meter.createUpDownCounter('carts').add(-2);
meter.createHistogram('pay.duration', { unit: 's', advice: { explicitBucketBoundaries: [0.1, 1] } }).record(0.3, method);
meter.createHistogram('pay.size').record(4);
meter.createObservableGauge('stock').addCallback((result) => result.observe(7.5, { sku: 's-1' }));

for (const provider of [tracing, logging, metering]) {
  await provider.forceFlush();
  await provider.shutdown();
}
const ids = (span) => ({ trace: span.spanContext().traceId, span: span.spanContext().spanId });
console.log(JSON.stringify({ root: ids(root), child: ids(child), began: began[0] }));
