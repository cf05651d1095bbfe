import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** What a BI tool asks through ClickHouse's JDBC driver: Ask HOST:PORT. One line for each answer. */
public class Ask {
  public static void main(String[] arguments) throws SQLException {
    // The URL as README has it: no user, no password.
    String url = "jdbc:clickhouse://" + arguments[0] + "/otel";
    try (Connection connection = DriverManager.getConnection(url)) {
      DatabaseMetaData about = connection.getMetaData();
      System.out.println("product " + about.getDatabaseProductName());
      System.out.println("tables " + count(about.getTables(null, "otel", "otel_metrics_%", null)));
      System.out.println("landing " + count(about.getTables(null, "otel", "clew_landing_%", null)));
      describeAll(about);
      System.out.println("columns " + count(about.getColumns(null, "otel", "otel_traces", "SpanName")));
      for (String sql : new String[] {"SELECT number, toString(number), [1, 2], map('k', 'v'),"
          + " now64(9), toLowCardinality('a') FROM numbers(100000)", "SHOW TABLES FROM otel LIKE 'otel_logs'",
          "SELECT * FROM otel_traces LIMIT 0", "SELECT * FROM nope"}) {
        try (Statement statement = connection.createStatement()) {
          System.out.println("rows " + count(statement.executeQuery(sql)));
        } catch (SQLException error) {
          System.out.println("error " + error.getMessage().split(" DB::")[0]);
        }
      }
      try (PreparedStatement statement = connection.prepareStatement("SELECT ?, ? + 1")) {
        statement.setString(1, "it's");
        statement.setInt(2, 4);
        ResultSet row = statement.executeQuery();
        row.next();
        System.out.println("bound " + row.getString(1) + " " + row.getInt(2));
      }
    }
  }

  /** What a BI tool does to show a schema: the columns of every table that is listed. */
  private static void describeAll(DatabaseMetaData about) throws SQLException {
    ResultSet tables = about.getTables(null, "otel", "%", null);
    while (tables.next()) {
      String name = tables.getString("TABLE_NAME");
      if (count(about.getColumns(null, "otel", name, "%")) == 0) {
        System.out.println("no columns " + name);
      }
    }
    tables.close();
    System.out.println("described");
  }

  private static int count(ResultSet rows) throws SQLException {
    int count = 0;
    int columns = rows.getMetaData().getColumnCount();
    for (; rows.next(); count++) {
      for (int column = 1; column <= columns; column++) {
        rows.getObject(column);
      }
    }
    rows.close();
    return count;
  }
}
