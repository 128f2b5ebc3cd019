import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import javax.security.auth.x500.X500Principal;

/** What X500Principal says of a certificate's name (DER) and a text: match, differ, refuse or unreadable. */
public class JavaNames {
    public static void main(String[] names) throws Exception {
        Map<String, String> keywords = new HashMap<>();
        for (String each : names) {
            String[] parts = each.split("=");
            keywords.put(parts[0].toUpperCase(java.util.Locale.ROOT), parts[1]);
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.US_ASCII);
        for (String line; (line = in.readLine()) != null; ) {
            String[] parts = line.split("\t", -1);
            String text = new String(Base64.getDecoder().decode(parts[1]), StandardCharsets.UTF_8);
            out.println(verdict(HexFormat.of().parseHex(parts[0]), text, keywords));
        }
    }

    private static String verdict(byte[] der, String text, Map<String, String> keywords) {
        X500Principal presented;
        X500Principal registered;
        try {
            registered = new X500Principal(text, keywords);
        } catch (RuntimeException refusal) {
            return "refuse";
        }
        try {
            presented = new X500Principal(der);
        } catch (RuntimeException refusal) {
            return "unreadable";
        }
        try {
            return presented.equals(registered) ? "match" : "differ";
        } catch (RuntimeException failure) {
            return "fails";
        }
    }
}
