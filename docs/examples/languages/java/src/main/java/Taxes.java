import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Executors;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * Quotes an item: asks the next service for its part, and adds its own name to the answer. NEXT is
 * the address of the next service; without it this one is the last of the chain. It knows nothing
 * of OpenTelemetry: -javaagent brings that along.
 */
public class Taxes {
  private static final Logger LOG = Logger.getLogger("taxes");
  private static final String NEXT = System.getenv().getOrDefault("NEXT", "");
  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  public static void main(String[] arguments) throws IOException {
    int port = Integer.parseInt(System.getenv("PORT"));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.setExecutor(Executors.newFixedThreadPool(4));
    server.createContext("/quotes/", Taxes::answer);
    server.start();
  }

  private static void answer(HttpExchange exchange) throws IOException {
    int status = 200;
    String body;
    try {
      body = "{\"services\": " + services(exchange.getRequestURI().getPath()) + "}";
    } catch (Exception exception) {
      LOG.log(Level.SEVERE, "taxing failed", exception);
      status = 500;
      body = "{\"services\": []}";
    }
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(status, body.length());
    exchange.getResponseBody().write(body.getBytes());
    exchange.close();
  }

  private static String services(String path) throws IOException, InterruptedException {
    LOG.info("taxing " + path);
    if (NEXT.isEmpty()) {
      return "[\"java\"]";
    }
    HttpRequest request = HttpRequest.newBuilder(URI.create(NEXT + path)).build();
    HttpResponse<String> answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IllegalStateException("no quote: " + answer.statusCode());
    }
    String list = answer.body().replaceAll("(?s).*\\[(.*)\\].*", "$1");
    return "[\"java\", " + list + "]";
  }
}
