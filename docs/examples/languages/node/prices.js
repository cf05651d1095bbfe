// Quotes an item: asks the next service for its part, and adds its own name to the answer.
// NEXT is the address of the next service; without it this one is the last of the chain.
// It knows nothing of OpenTelemetry: node --require brings that along.

const express = require("express");
const log = require("pino")();

const app = express();

app.get("/quotes/:item", async (request, response) => {
  const { item } = request.params;
  log.info({ item }, "pricing");
  if (!process.env.NEXT) {
    return response.json({ services: ["node"] });
  }
  const answer = await fetch(`${process.env.NEXT}/quotes/${item}`);
  if (!answer.ok) {
    throw new Error(`no quote: ${answer.status}`); // express answers 500
  }
  const { services } = await answer.json();
  response.json({ services: ["node", ...services] });
});

app.use((error, request, response, next) => {
  log.error(error, "pricing failed");
  response.status(500).json({ services: [] });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1");

// OpenTelemetry's handler for SIGTERM sends what it still has. With a handler, Node no longer ends the
// process: once the server is closed and all is sent, it ends by itself.
process.on("SIGTERM", () => server.close());
