// A page under OpenTelemetry's SDK. It sends a span and its child, in one of the ways that exporters have, tells its
// own server which, and moves on to the next way. A third span ends only then: the SDK sends it while the page is left.
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { WebTracerProvider } from '@opentelemetry/sdk-trace-web';
import { OTLPTraceExporter as OldExporter } from 'exporter-trace-otlp-http-v1';
import { Resource } from 'resources-v1';
import { BatchSpanProcessor as OldProcessor } from 'sdk-trace-base-v1';
import { WebTracerProvider as OldProvider } from 'sdk-trace-web-v1';

const parameters = new URLSearchParams(location.search);
const [way, ...others] = parameters.get('ways').split(' ');
const collector = parameters.get('collector');
const headers = { 'x-team': 'shop' };
const url = `${collector}/v1/traces`;
const attributes = { 'service.name': `browser-${way}` };

// Cookies have no port, so the collector on this host is sent this one wherever credentials are.
document.cookie = 'session=1';

const processors = {
  beacon: () => new OldProcessor(new OldExporter({ url })),
  xhr: () => new OldProcessor(new OldExporter({ url, headers })),
  fetch: () => new BatchSpanProcessor(new JsonExporter({ url })),
  'fetch-protobuf': () => new BatchSpanProcessor(new ProtobufExporter({ url, headers })),
};
const spanProcessors = [processors[way]()];
const provider = ['beacon', 'xhr'].includes(way)
  ? new OldProvider({ resource: new Resource(attributes), spanProcessors })
  : new WebTracerProvider({ resource: resourceFromAttributes(attributes), spanProcessors });
const logging = new LoggerProvider({
  resource: resourceFromAttributes(attributes),
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `${collector}/v1/logs` }) })],
});

async function main() {
  const tracer = provider.getTracer('page');
  const root = tracer.startSpan('visit', { kind: SpanKind.CLIENT, attributes: { width: 1280, visible: true } }, ROOT_CONTEXT);
  const context = trace.setSpan(ROOT_CONTEXT, root);
  tracer.startSpan('click', { attributes: { 'ui.text': 'Zur Kasse – ü 😀' } }, context).end();
  logging.getLogger('page').emit({ severityNumber: SeverityNumber.WARN, body: 'slow script', context });
  root.end();
  await provider.forceFlush();
  await logging.forceFlush();
  await fetch('/sent', { method: 'POST', body: JSON.stringify({ way, trace: root.spanContext().traceId }) });
  tracer.startSpan('leave', {}, context).end();
  parameters.set('ways', others.join(' '));
  location.href = others.length ? `/?${parameters}` : '/end';
}
main().catch((error) => fetch('/sent', { method: 'POST', body: JSON.stringify({ way, error: String(error) }) }));
