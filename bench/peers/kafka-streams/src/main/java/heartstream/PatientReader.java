package heartstream;

import com.dslplatform.json.DslJson;
import com.dslplatform.json.JsonReader;
import com.dslplatform.json.NumberConverter;
import java.io.IOException;

/** Reads and validates patient records as the worker does, with dsl-json. One thread's own. */
final class PatientReader {
    private static final int MAX_BYTES = 65_536, MAX_ID_CHARS = 128, FIELDS = Model.FIELDS.length;
    private static final int PATIENT_ID = FIELDS, CODING = FIELDS + 1, ALL_NUMBERS = (1 << FIELDS) - 1;
    private static final double[] LOW = {18, 0, 1, 50, 40, 0, 0, 40, 0, -5, 1, 0, 3};
    private static final double[] HIGH = {110, 1, 4, 300, 1000, 1, 2, 250, 1, 10, 3, 3, 7};
    private static final boolean[] ZERO_IS_MISSING = {
        false, false, false, true, true, false, false, true, false, false, false, false, false
    };
    private static final int OLDPEAK = 9, THAL = 12;

    String patientId;
    /** In the order of the feature table, NaN where missing. */
    final double[] values = new double[FIELDS];
    private final JsonReader<Object> json =
        new DslJson<>(new DslJson.Settings<>().doublePrecision(JsonReader.DoublePrecision.EXACT)).newReader();
    private int seen;

    /** Return whether a message's value is a valid record; its fields are here then. */
    boolean read(byte[] value) {
        if (value == null || value.length == 0 || value.length > MAX_BYTES) return false;
        try {
            parse(value);
        } catch (IOException | RuntimeException notARecord) {
            return false;
        }
        return (seen & ALL_NUMBERS) == ALL_NUMBERS && isId(patientId) && validate();
    }

    private void parse(byte[] value) throws IOException {
        seen = 0;
        patientId = null;
        json.process(value, value.length);
        require(json.getNextToken() == '{');
        byte token;
        do {
            require(json.getNextToken() == '"');
            member(position(json.readKey()));
            token = json.getNextToken();
        } while (token == ',');
        require(token == '}');
        for (int at = json.getCurrentIndex(); at < value.length; at++) {
            require(value[at] == ' ' || value[at] == '\n' || value[at] == '\r' || value[at] == '\t');
        }
    }

    private void member(int position) throws IOException {
        require((seen >> position & 1) == 0);
        seen |= 1 << position;
        byte token = json.last();
        if (position >= FIELDS) {
            require(token == '"');
            String text = json.readString();
            if (position == PATIENT_ID) patientId = text;
            else require(text.equals("uci"));
        } else if (token == 'n') {
            require(json.wasNull());
            values[position] = Double.NaN;
        } else {
            require(token == '-' || token >= '0' && token <= '9');
            values[position] = NumberConverter.deserializeDouble(json);
        }
    }

    private static void require(boolean valid) {
        if (!valid) throw new IllegalArgumentException();
    }

    private static int position(String name) {
        return switch (name) {
            case "age" -> 0;
            case "sex" -> 1;
            case "cp" -> 2;
            case "trestbps" -> 3;
            case "chol" -> 4;
            case "fbs" -> 5;
            case "restecg" -> 6;
            case "thalach" -> 7;
            case "exang" -> 8;
            case "oldpeak" -> 9;
            case "slope" -> 10;
            case "ca" -> 11;
            case "thal" -> 12;
            case "patient_id" -> PATIENT_ID;
            case "coding" -> CODING;
            default -> throw new IllegalArgumentException();
        };
    }

    private static boolean isId(String id) {
        if (id == null || id.isEmpty()) return false;
        if (id.length() > MAX_ID_CHARS && id.codePointCount(0, id.length()) > MAX_ID_CHARS) return false;
        for (int at = 0; at < id.length(); at++) {
            if (!Character.isSurrogate(id.charAt(at))) continue;
            if (!Character.isSupplementaryCodePoint(id.codePointAt(at))) return false;
            at++;
        }
        return true;
    }

    /** Replace what stands for a missing value by NaN, and return whether all values are valid. */
    private boolean validate() {
        boolean valid = true;
        for (int j = 0; j < FIELDS; j++) {
            double x = values[j];
            if (x == -9 && j >= Model.OPTIONAL || x == 0 && ZERO_IS_MISSING[j]) values[j] = x = Double.NaN;
            boolean fits = x >= LOW[j] && x <= HIGH[j] && (j == OLDPEAK || x == Math.floor(x));
            valid &= fits | (Double.isNaN(x) & j >= Model.OPTIONAL);
        }
        return valid && !(values[THAL] > 3 && values[THAL] < 6);
    }
}
