package heartstream;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/** Validates files of FHIR R4 resources with HL7's validator; prints a line of four columns for each message. */
public final class Validator {
  public static void main(String[] files) throws Exception {
    FhirContext context = FhirContext.forR4();
    ValidationSupportChain support =
        new ValidationSupportChain(
            new DefaultProfileValidationSupport(context),
            new CommonCodeSystemsTerminologyService(context),
            new InMemoryTerminologyServerValidationSupport(context));
    FhirValidator validator = context.newValidator();
    validator.registerValidatorModule(new FhirInstanceValidator(support));
    for (String file : files) {
      String resource = Files.readString(Path.of(file));
      for (SingleValidationMessage each : validator.validateWithResult(resource).getMessages()) {
        String text = each.getMessage().replaceAll("\\s+", " ");
        System.out.printf("%s\t%s\t%s\t%s%n", file, each.getSeverity().getCode(), each.getLocationString(), text);
      }
    }
  }
}
